"""Files that survive: the only caller of fsync, rename and link.

Each function says what is on stable storage when it returns.  A failed fsync is never tried again on the same file: the
kernel may have dropped the very pages it could not write and report success the second time (fsync(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from archq.checksum import write_all
from archq.errors import at_open_file, named
from archq.light import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    Name = str | bytes | PathLike[str]

_libraries: list[ctypes.CDLL] = []

UNFINISHED = ".new"  # ends the name of what is being written over another file
CUT = b" (cut short)\n"  # ends a line that a dead writer left unfinished, so that no reader takes it for a whole one

_READ_UNFOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOKS = 10
_BETWEEN_LOOKS = 0.05  # seconds: whoever only looks whether a lock is taken lets go of it in far less
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_LEAST_WAITING, _MOST_WAITING = 1 << 20, 1 << 23  # bytes: fewer and the disk is told too often, more and it idles

_FICLONE = 0x40049409  # linux/fs.h
_CANNOT_CLONE = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.ETXTBSY}
)

_SYNCFS_TELLS = (5, 8)  # the first Linux whose syncfs(2) reports that a write has failed
# Filesystems that other machines may use at the same time.
_SHARED_KINDS = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse", "9p", "afs", "ceph", "lustre", "glusterfs"})
_STALE_LOCK = 600.0  # seconds

_WORTH_THREADS, _AT_A_TIME = 200, 8  # names to remove

_RENAME_NOREPLACE = 1  # renameat2(2)
# What a filesystem answers that does not know a way: NFS and FUSE refuse the flag, VFAT has no links.
_NO_SUCH_WAY = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK})


class NotARegularFileError(OSError):
    """What was opened is a directory, a device, a FIFO or a socket."""


def open_unfollowed(name: Name, *, directory: int | None = None) -> int:
    """Return a descriptor that reads the regular file ``name``.

    A symbolic link is not followed (ELOOP), a FIFO or device cannot make the call wait, and whatever is no regular
    file raises NotARegularFileError.
    """
    return open_and_look(name, directory=directory)[0]


def open_and_look(name: Name, *, directory: int | None = None) -> tuple[int, os.stat_result]:
    """Return a descriptor as :func:`open_unfollowed` does, and what fstat(2) says of it."""
    try:
        descriptor = os.open(name, _READ_UNFOLLOWED, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise _not_regular(name) from error
        raise
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise _not_regular(name)
    return descriptor, facts


def _not_regular(name: Name) -> NotARegularFileError:
    return NotARegularFileError(errno.ENXIO, "not a regular file", os.fspath(name))


def open_directory(path: Name, *, directory: int | None = None) -> int:
    """Return a descriptor of the directory ``path``; its last component is not followed."""
    return os.open(path, _DIRECTORY, dir_fd=directory)


@contextmanager
def opened_directory(path: Name, *, directory: int | None = None) -> Iterator[int]:
    """Hold a descriptor of the directory ``path``; its last component is not followed."""
    descriptor = open_directory(path, directory=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def naming(descriptor: int) -> Iterator[None]:
    """Let an error of what is done with an open file or directory name it."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | bytes):
            raise
        raise at_open_file(error, descriptor) from error


def names_in(directory: int) -> list[str]:
    """Return what lies in an open directory; an error names it."""
    with naming(directory):
        return os.listdir(directory)


def create(name: Name, mode: int = 0o600, *, directory: int | None = None) -> int:
    """Return a descriptor of a new file that reads and writes; raise FileExistsError if the name is taken.

    The mode is set whatever the umask: who may read our files is decided by us and not by the caller's shell.
    """
    return _made(name, mode, directory)


def _made(name: Name, mode: int, directory: int | None = None, flags: int = 0) -> int:
    descriptor = os.open(name, _CREATE | flags, mode, dir_fd=directory)
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        named = at_open_file(error, descriptor)
        os.close(descriptor)
        remove(name, directory=directory)
        raise named from error
    return descriptor


def sync(descriptor: int) -> None:
    """Return when the open file or directory is on stable storage; an error names it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise at_open_file(error, descriptor) from error


def sync_content(descriptor: int) -> None:
    """Return when what the open file holds is on stable storage; its times may not be, so a journal is left alone."""
    os.fdatasync(descriptor)


class Writing:
    """An open file that grows, and with which the disk begins meanwhile: whoever syncs it later waits for less."""

    __slots__ = ("descriptor", "size", "waiting")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = self.waiting = 0  # bytes

    def wrote(self, count: int) -> None:
        """Take note of ``count`` more bytes at its end."""
        self.size += count
        self.waiting += count
        if self.waiting >= min(_MOST_WAITING, max(_LEAST_WAITING, self.size // 4)):
            self.begin()

    def begin(self) -> None:
        """Let the disk begin with all of it."""
        if self.waiting:
            begin_writing(self.descriptor, self.waiting)
        self.waiting = 0


def begin_writing(descriptor: int, size: int) -> None:
    """Let the disk begin with the last ``size`` bytes written to an open file.

    The system may forget what is on the disk already (posix_fadvise(2)), which of these bytes nothing is yet.
    """
    with suppress(OSError):  # a hint
        start = os.lseek(descriptor, 0, os.SEEK_CUR) - size
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def sync_directory(path: Name) -> None:
    """Return when the names in the directory ``path`` are on stable storage; ``path`` may be a symbolic link to it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def write_new(name: Name, content: bytes, mode: int = 0o600, *, directory: int | None = None) -> None:
    """Make the new file ``name``; its content, not yet its name, is on stable storage."""
    descriptor = create(name, mode, directory=directory)
    with _closed_at_last(descriptor, name):
        write_all(descriptor, content)
        sync(descriptor)


@contextmanager
def _closed_at_last(descriptor: int, name: Name) -> Iterator[None]:
    """Close an open file at the end; an error, that of closing too, names it."""
    try:
        try:
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise named(error, os.fsdecode(name)) from error


def write_over(path: str, content: bytes, mode: int = 0o600) -> None:
    """Make ``path`` hold ``content``, or what it held before, whatever happens; both file and name are durable.

    One writer at a time: the temporary name beside it is fixed, so a dead writer's leftover is used again.
    """
    temporary = f"{path}{UNFINISHED}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        write_new(temporary, content, mode)
        _replace(temporary, path, content)
    except OSError:
        with suppress(OSError):  # the first reason is the one to tell
            remove(temporary)
        raise
    sync_directory(os.path.dirname(path) or ".")


def _replace(source: str, target: str, content: bytes) -> None:
    """Rename ``source``, which holds ``content``, over ``target``; an error is believed after a look at both names."""
    try:
        os.rename(source, target)
    except OSError:
        if _exists(source, None):
            raise
        with open(target, "rb") as file:
            if file.read() != content:
                raise


def make_directory(path: str, mode: int = 0o700) -> None:
    """Make the directory ``path`` where it is missing, and every missing parent; their names are durable.

    Raise FileExistsError where something else has the name.  The mode is set whatever the umask.
    """
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        make_directory(parent, mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    os.chmod(path, mode)
    sync_directory(parent)


def touch(path: str) -> None:
    """Make now the time of the file or directory ``path``; an error names it."""
    try:
        os.utime(path)
    except OSError as error:
        raise named(error, path) from error


def move_new(source: str, target: str) -> None:
    """Rename a directory to a name that is free; the caller syncs.  Raise OSError (ENOTEMPTY, EEXIST) if it is not.

    rename(2) would replace an empty directory, but ours never are.
    """
    os.rename(source, target)


def rename_new(
    source: Name, target: Name, *, source_directory: int | None = None, target_directory: int | None = None
) -> None:
    """Give ``source`` the name ``target`` on the same filesystem, in one step, and never replace anything.

    Raise FileExistsError where the name is taken, FileNotFoundError where ``source`` is gone, OSError for all else.
    The caller syncs.  An error is believed only after a look at both names: a file server may have done what its lost
    reply would have said (rename(2), BUGS).
    """
    file = os.stat(source, dir_fd=source_directory, follow_symlinks=False)
    try:
        _rename_no_replace(source, target, source_directory, target_directory)
    except OSError as error:
        if _is(file, target, target_directory) and not _is(file, source, source_directory):
            return
        if error.errno not in _NO_SUCH_WAY:
            raise
        way = _rename_directory if stat.S_ISDIR(file.st_mode) else _link_and_unlink
        way(source, target, source_directory, target_directory)


def _rename_no_replace(source: Name, target: Name, source_directory: int | None, target_directory: int | None) -> None:
    try:
        renameat2 = _system_library().renameat2
    except (OSError, AttributeError):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    here = -100  # AT_FDCWD
    if renameat2(
        here if source_directory is None else source_directory,
        os.fsencode(source),
        here if target_directory is None else target_directory,
        os.fsencode(target),
        _RENAME_NOREPLACE,
    ):
        raise _system_error(source, target)


def _link_and_unlink(source: Name, target: Name, source_directory: int | None, target_directory: int | None) -> None:
    file = os.stat(source, dir_fd=source_directory, follow_symlinks=False)
    try:
        # Without follow_symlinks=False a link planted under the source's name would be followed.
        os.link(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory, follow_symlinks=False)
    except OSError:
        if not _is(file, target, target_directory):
            raise
    try:
        remove(source, directory=source_directory)
    except OSError:
        if _exists(source, source_directory):
            raise


def _rename_directory(source: Name, target: Name, source_directory: int | None, target_directory: int | None) -> None:
    """Rename a directory that is not empty: rename(2) replaces empty directories only (ENOTEMPTY, ENOTDIR)."""
    if _exists(target, target_directory):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    os.rename(source, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)


def take(name: Name, *, source_directory: int, target_directory: int, target: Name | None = None) -> bool:
    """Rename ``name`` into a private directory; return whether it is ours now: one of many takers is told so.

    What it is does not matter: nothing is followed or opened.  The caller has made sure that the name is free there.
    """
    target = target or name
    try:
        os.rename(name, target, src_dir_fd=source_directory, dst_dir_fd=target_directory)
    except FileNotFoundError:
        return _exists(target, target_directory)  # a lost reply, asked for again, says that the source is gone
    except OSError:
        if _exists(target, target_directory) and not _exists(name, source_directory):
            return True
        raise
    return True


def remove(name: Name, *, directory: int | None = None) -> bool:
    """Remove a name; already gone is fine.  Return whether it was there.  The caller syncs."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def remove_all(names: Sequence[Name], *, directory: int | None = None) -> None:
    """Remove many names; already gone is fine.  The caller syncs.

    Several go at a time: a disk that has to discard each freed block at once (mount option ``discard``) lets each wait.
    """
    if len(names) < _WORTH_THREADS:
        _remove_each(names, directory)
        return
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            shares = [names[number::_AT_A_TIME] for number in range(_AT_A_TIME)]
            list(threads.map(lambda share: _remove_each(share, directory), shares))  # raises what one has raised
    except RuntimeError:  # this account may have no more threads
        _remove_each(names, directory)


def _remove_each(names: Iterable[Name], directory: int | None) -> None:
    for name in names:
        remove(name, directory=directory)


def _exists(name: Name, directory: int | None) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is(file: os.stat_result, name: Name, directory: int | None) -> bool:
    try:
        return os.path.samestat(file, os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return False


def clone(source: int, target: int) -> bool:
    """Make the empty open file ``target`` hold what ``source`` holds, in the same blocks; return whether it does.

    Free on filesystems that know it (XFS, btrfs): FICLONE, ioctl_ficlone(2).
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_CLONE:
            return False
        raise
    return True


@contextmanager
def without_writers(descriptor: int) -> Iterator[Callable[[], bool] | None]:
    """Hold a lease on an open file of our own; yield what says whether nobody can have written it since.

    It is granted only while nobody has the file open for writing (else None is yielded), and lost when somebody opens
    it so (fcntl(2), F_SETLEASE).
    """
    import signal

    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; SIGIO would end us
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        yield None
        return
    try:
        yield lambda: fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def can_sync_filesystem() -> bool:
    """Say whether :func:`sync_filesystem` works here and tells errors; else every file has to be synced by itself."""
    import re

    release = re.match(r"([0-9]+)[.]([0-9]+)", os.uname().release)
    if not release or (int(release[1]), int(release[2])) < _SYNCFS_TELLS:
        return False
    try:
        return hasattr(_system_library(), "syncfs")
    except OSError:
        return False


def sync_filesystem(descriptor: int) -> None:
    """Return when all of the filesystem that holds ``descriptor`` is on stable storage: many files for one wait.

    Errors of writes since the descriptor was opened are raised, so open it before them.
    """
    if _system_library().syncfs(descriptor):
        raise _system_error()


def _system_library() -> ctypes.CDLL:
    """Return the C library, for what the os module leaves out; ctypes costs milliseconds, so only when needed."""
    import ctypes

    if not _libraries:
        _libraries.append(ctypes.CDLL(None, use_errno=True))
    return _libraries[0]


def _system_error(*names: Name) -> OSError:
    import ctypes

    number = ctypes.get_errno()
    if not names:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), os.fspath(names[0]), None, os.fspath(names[-1]))


def link(source: Name, name: Name, *, directory: int | None = None) -> None:
    """Give the file ``source`` the second name ``name`` in ``directory``; a link is not followed, the caller syncs."""
    os.link(source, name, dst_dir_fd=directory, follow_symlinks=False)


def append_line(path: str, line: bytes, mode: int = 0o644, *, synced: bool = True) -> None:
    """Append ``line`` (or several, newlines included) to the log ``path``; on stable storage unless not ``synced``.

    A lock keeps two writers apart.  A line that a dead writer left unfinished is first ended and marked as cut: ended
    alone, it could pass for a whole line that says less.  After an error, which names it, the log is as it was: all
    lines or none.
    """
    descriptor = _opened_or_made(path, mode, os.O_APPEND)
    with _closed_at_last(descriptor, path):
        lock(descriptor)
        size = os.fstat(descriptor).st_size
        if not size:  # the name first, so that whoever finds a line here need not think of the name
            sync_directory(os.path.dirname(path) or ".")
        elif os.pread(descriptor, 1, size - 1) != b"\n":
            line = CUT + line
        _append_all_or_nothing(descriptor, line, size, synced=synced)


def _append_all_or_nothing(descriptor: int, lines: bytes, size: int, *, synced: bool) -> None:
    try:
        write_all(descriptor, lines)
        if synced:
            sync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def lock(descriptor: int, *, wait: bool = True) -> bool:
    """Take an exclusive lock on an open file or directory; return False at once when it is taken and not ``wait``.

    The kernel frees it when its last holder closes it or dies.  An error names the file.
    """
    return _flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        raise at_open_file(error, descriptor) from error
    return True


@contextmanager
def locked(path: str, *, mode: int = 0o600, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on the file ``path``, made if missing; the kernel frees it when its holder dies.

    Raise BlockingIOError when it is taken and ``wait`` is false: within half a second, as it may only be looked at.
    """
    descriptor = _opened_or_made(path, mode)
    try:
        looks = 1 if wait else _LOOKS
        while not lock(descriptor, wait=wait):
            looks -= 1
            if not looks:
                raise BlockingIOError(errno.EWOULDBLOCK, "somebody else holds the lock", path)
            time.sleep(_BETWEEN_LOOKS)
        yield descriptor
    finally:
        os.close(descriptor)


def locks_reach_everybody(path: str, *, table: str = "/proc/self/mountinfo") -> bool:
    """Say whether a lock (flock(2)) in the directory ``path`` is seen by all machines that share it.

    On a disk of this machine it is, on NFS where the mount asks the server for locks; of other file servers we do not
    know (proc_pid_mountinfo(5), nfs(5)).
    """
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(FileNotFoundError), open(table, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            mount, _separator, rest = line.partition(" - ")
            kind, _source, options = [*rest.split(), "", "", ""][:3]
            if mount.split()[2] == number and kind.split(".")[0] in _SHARED_KINDS:
                local = {"nolock", "local_lock=all", "local_lock=flock"} & set(options.split(","))
                return kind.startswith("nfs") and not local
    return True


@contextmanager
def locked_by_name(path: str) -> Iterator[None]:
    """Hold a lock that is a name in a directory, for file servers on which others do not work.

    Who can link a file of his own to ``path`` holds it; the file's link count tells, whatever became of the reply
    (open(2), O_EXCL; lockfile_create(3)).  A lock is broken that has not been touched for ten minutes by the file
    server's clock, so hold it for less.
    """
    own = f"{path}.{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}"
    os.close(create(own))
    try:
        while True:
            os.utime(own)
            with suppress(OSError):
                os.link(own, path)
            facts = os.stat(own)
            if facts.st_nlink == 2:
                break
            _break_stale_lock(path, own, facts.st_mtime)
            time.sleep(_BETWEEN_LOOKS)
        try:
            yield
        finally:
            remove(path)
    finally:
        remove(own)


def _break_stale_lock(path: str, own: str, now: float) -> None:
    """Take away a lock that was left behind.  Two may try at once: who moves away a fresh one gives it back."""
    try:
        seen = os.stat(path)
        if now - seen.st_mtime < _STALE_LOCK:
            return
        os.rename(path, f"{own}.stale")
        moved = os.stat(f"{own}.stale")
        if (seen.st_ino, seen.st_mtime_ns) != (moved.st_ino, moved.st_mtime_ns):  # an inode's number is used again
            with suppress(FileExistsError):
                os.link(f"{own}.stale", path)
    except FileNotFoundError:
        return
    remove(f"{own}.stale")


def is_locked(path: str) -> bool:
    """Tell whether somebody holds the lock on the file ``path``; lookers do not see each other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _opened_or_made(path: str, mode: int, flags: int = 0) -> int:
    """Return a descriptor that reads and writes; only a file that is made here gets the mode."""
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags)
        with suppress(FileExistsError):
            return _made(path, mode, flags=flags)
