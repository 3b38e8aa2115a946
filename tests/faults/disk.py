"""A filesystem of its own in a file: made, mounted where nobody else sees it, and cut off as when the power goes."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.line import copy
from tests.servers.process import AS_ROOT, UnavailableError
from tests.tools import found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.line import Line
    from tests.faults.scenarios import Scene

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNS = 0x20000  # linux/sched.h
_MS_REC, _MS_SLAVE = 0x4000, 0x80000  # linux/mount.h
_FS_IOC_SHUTDOWN = 0x8004587D  # linux/fs.h
_NO_LOG_FLUSH = 2  # what the journal has not written yet is lost, too
_MOST_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of filesystem, and how it is made and mounted to hide as little as possible."""

    name: str
    size: int  # bytes
    package: str
    making: Sequence[str]
    options: str


# What ext4 would finish in the background is made at once, and its guess that a rename wants an fsync is not taken;
# XFS as small as this is for tests alone, and says so.
KINDS = (
    Kind("ext4", 24 << 20, "e2fsprogs", ("-F", "-J", "size=4", "-E", "lazy_itable_init=0"), "loop,noauto_da_alloc"),
    Kind("xfs", 32 << 20, "xfsprogs", ("-f", "--unsupported", "-l", "size=8m"), "loop"),
)


class NoDiskError(Exception):
    """This machine cannot make or mount such a filesystem, and why."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A filesystem in the file ``image`` and the directory where it is seen."""

    kind: Kind
    image: Path
    place: Path

    def make(self) -> None:
        """Make it anew, with nothing in it."""
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(self.kind.size)
        program, environment = found(f"mkfs.{self.kind.name}", self.kind.package)
        _do([program, "-q", *self.kind.making, str(self.image)], dict(environment))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount it; the loop device goes with the mount.  Its journal is replayed first, if there is need."""
        _do(["mount", "-t", self.kind.name, "-o", self.kind.options, str(self.image), str(self.place)])
        try:
            yield self.place
        finally:
            _unmount(self.place)

    def cut(self) -> None:
        """Let nothing reach the disk any more that has not reached it by now."""
        directory = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, _FS_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(directory)


@dataclass(frozen=True, slots=True)
class Laid:
    """A scene with the home of its line on a disk of its own, and perhaps directories of it on further ones."""

    scene: Scene
    disks: tuple[Disk, ...]

    @classmethod
    def on(cls, kind: Kind, scene: Scene, scratch: Path, *apart: str) -> Laid:
        """Make the disks and put the line on them; each of the directories ``apart`` is on one of its own."""
        home = scene.snapshot.line.home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        places = [home, *(home / name for name in apart)]
        laid = cls(scene, tuple(Disk(kind, scratch / f"disk{number}", place) for number, place in enumerate(places)))
        for disk in laid.disks:
            disk.make()
        with laid.mounted():
            for entry in (scene.snapshot.place / "home").iterdir():
                copy(entry, home)
        for disk in laid.disks:
            disk.image.rename(laid._kept(disk))
        return laid

    def __str__(self) -> str:
        apart = "".join(f", {disk.place.name} apart" for disk in self.disks[1:])
        return f"{self.scene.name} on {self.disk.kind.name}{apart}"

    @property
    def disk(self) -> Disk:
        """The one of the line's home."""
        return self.disks[0]

    def _kept(self, disk: Disk) -> Path:
        """Return where the disk is kept as it was at first."""
        return disk.image.with_name(f"{self}, {disk.image.name}")

    def bring_back(self) -> Line:
        """Bring all back as it was; the caller mounts the disks."""
        for disk in self.disks:
            subprocess.run(["cp", "--sparse=always", str(self._kept(disk)), str(disk.image)], check=True)
        return self.scene.snapshot.restore_around()

    @contextmanager
    def mounted(self) -> Iterator[None]:
        with ExitStack() as mounts:
            for disk in self.disks:
                disk.place.mkdir(exist_ok=True)
                shutil.rmtree(mounts.enter_context(disk.mounted()) / "lost+found", ignore_errors=True)
            yield

    def cut(self) -> None:
        """Let the power go for all disks at once."""
        for disk in self.disks:
            disk.cut()


def lacking(kind: Kind) -> str:
    """Say why disks of this kind cannot be had here, by trying; nothing: they can."""
    if not AS_ROOT:
        return f"{kind.name}: only root may mount"
    with tempfile.TemporaryDirectory(prefix="archq-disk-") as scratch:
        place = Path(scratch, "place")
        place.mkdir()
        disk = Disk(kind, Path(scratch, "disk"), place)
        try:
            disk.make()
            with private_mounts(), disk.mounted():
                disk.cut()
        except (NoDiskError, UnavailableError, OSError) as error:
            return f"{kind.name}: {error}"
    return ""


@contextmanager
def private_mounts() -> Iterator[None]:
    """Hold a view of our own of all mounts: whatever ends this process, what is mounted meanwhile ends with it."""
    system = _system_library()
    here = os.getcwd()
    with open("/proc/self/ns/mnt", "rb") as before:
        _check(system.unshare(_CLONE_NEWNS), "a mount namespace")
        try:
            _check(system.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None), "mounts of our own")
            yield
        finally:
            _check(system.setns(before.fileno(), _CLONE_NEWNS), "the mount namespace of before")
            os.chdir(here)


def mount(source: str, place: Path, kind: str, options: str) -> None:
    """Mount what needs no loop device; the caller unmounts."""
    words = (os.fsencode(one) for one in (source, place, kind))
    _check(_system_library().mount(*words, 0, options.encode()), f"mounting {kind}")


def end_with_parent() -> None:
    """Let the kernel kill this process when the one that forked it ends."""
    _check(_system_library().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "a signal at the parent's end")


@functools.cache
def _system_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
    return library


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unmount(place: Path) -> None:
    """Unmount, as soon as whoever was killed has let go."""
    end = time.monotonic() + _MOST_SECONDS
    while True:
        try:
            return _do(["umount", str(place)])
        except NoDiskError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _do(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoDiskError(f"{command[0]} is not on this machine") from None
    if done.returncode:
        raise NoDiskError(done.stderr.strip().partition("\n")[0] or f"{command[0]}: exit status {done.returncode}")
