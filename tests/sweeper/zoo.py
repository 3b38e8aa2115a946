"""A zoo of what an uploader may plant in an incoming directory, and a site for it."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from archq.checksum import Checksum
from archq.control import MAX_SIZE, format_control, seal
from archq.durable import locked
from archq.names import new_id
from tests.sweeper.accounts import UPLOADER, as_account, common_ground
from tests.sweeper.arrivals import Result, Site, contents, control_file, new_site, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archq.control import ControlFile

    Plant = Callable[[Site, ControlFile], None]

SECRET = b"the content of a file that is not for everybody\n" * 100
PROTECTED = ("symlinks", "hardlinks", "fifos", "regular")  # fs.protected_*
PROTECTION_LOCK = os.path.join(tempfile.gettempdir(), "archq-tests-fs-protected.lock")
HANGS = 60  # seconds: a sweep that takes longer waits for something that never comes
TERABYTE = 1 << 40


def data(site: Site, control: ControlFile) -> Path:
    return site.incoming / str(wire_of(control))


def control_of(site: Site, control: ControlFile) -> Path:
    return site.incoming / str(wire_of(control).control)


# What can stand where a file should, made at a path.
def fifo(site: Site, path: Path) -> None:
    os.mkfifo(path)


def unix_socket(site: Site, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # a socket's path has to be short
        made.bind(path.name)


def directory(site: Site, path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"content")


def link_to_the_secret(site: Site, path: Path) -> None:
    path.symlink_to(site.root / "secret")


def link_to_a_directory(site: Site, path: Path) -> None:
    path.symlink_to("/etc")


def dangling_link(site: Site, path: Path) -> None:
    path.symlink_to(site.root / "archive" / "made-by-following")


def loop(site: Site, path: Path) -> None:
    path.symlink_to(path.name)


def hard_link(site: Site, path: Path) -> None:
    """To the secret where the system lets everybody, else to a file of the uploader's own."""
    own = site.incoming / f"own-{path.name}"
    own.write_bytes(b"content")
    try:
        os.link(site.root / "secret", path)
    except PermissionError:
        os.link(own, path)
    old = time.time() - 3600
    with suppress(PermissionError):
        os.utime(path, (old, old))


def terabyte(site: Site, path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(TERABYTE)


STAND_INS = [
    fifo,
    unix_socket,
    directory,
    link_to_the_secret,
    link_to_a_directory,
    dangling_link,
    loop,
    hard_link,
    terabyte,
]


def instead_of_data(stand_in) -> Plant:
    def plant(site: Site, control: ControlFile) -> None:
        stand_in(site, data(site, control))
        control_of(site, control).write_bytes(format_control(control))

    return plant


def instead_of_control(stand_in) -> Plant:
    def plant(site: Site, control: ControlFile) -> None:
        data(site, control).write_bytes(b"content")
        stand_in(site, control_of(site, control))

    return plant


def text(change: Callable[[bytes], bytes]) -> Plant:
    """Change the words of a control file, and seal it so that it looks whole."""

    def plant(site: Site, control: ControlFile) -> None:
        body = format_control(control).partition(b"check=")[0]
        site.leave(control, b"content", text=seal(change(body)))

    return plant


def raw(change: Callable[[bytes], bytes]) -> Plant:
    """Change a control file after it was sealed."""
    return lambda site, control: site.leave(control, b"content", text=change(format_control(control)))


def says(**facts) -> Plant:
    """Tell something else in a control file that is right in form."""

    def plant(site: Site, control: ControlFile) -> None:
        told = replace(control, **facts)
        data(site, control).write_bytes(b"content")
        control_of(site, control).write_bytes(format_control(told))

    return plant


def value(key: bytes, new: bytes) -> Plant:
    def change(body: bytes) -> bytes:
        lines = [line for line in body.split(b"\n") if line]
        return b"".join((key + b"=" + new if line.startswith(key + b"=") else line) + b"\n" for line in lines)

    return text(change)


def padded(size: int) -> Plant:
    """A control file of just so many bytes."""

    def plant(site: Site, control: ControlFile) -> None:
        body = format_control(control).partition(b"check=")[0]
        missing = size - len(seal(body + b"option.pad=\n"))
        site.leave(control, b"content", text=seal(body + b"option.pad=" + b"x" * missing + b"\n"))

    return plant


def huge_sparse(site: Site, control: ControlFile) -> None:
    """A terabyte of nothing, with a control file that agrees."""
    terabyte(site, data(site, control))
    control_of(site, control).write_bytes(format_control(replace(control, size=TERABYTE)))


REFUSED: dict[str, Plant] = {
    **{f"data: {one.__name__}": instead_of_data(one) for one in STAND_INS},
    **{f"control: {one.__name__}": instead_of_control(one) for one in STAND_INS},
    "a terabyte that agrees": huge_sparse,
    "65,537 bytes": padded(MAX_SIZE + 1),
    "a million keys": text(lambda body: body + b"".join(b"key.%d=\n" % number for number in range(1_000_000))),
    "as many keys as fit, all the same": text(lambda body: body + b"a=\n" * 20_000),
    "NUL in the name": value(b"name", b"a%00b"),
    "a bare NUL": value(b"host", b"a\0b"),
    "bytes that are no UTF-8": value(b"host", b"\xff\xfe"),
    "a bare ESC": value(b"host", b"\x1b[2J"),
    "CRLF": text(lambda body: body.replace(b"\n", b"\r\n")),
    "a BOM": text(lambda body: b"\xef\xbb\xbf" + body),
    "text after the check line": raw(lambda whole: whole + b"dir=theirs\n"),
    "two check lines": raw(lambda whole: whole + whole),
    "a check that does not fit": raw(lambda whole: whole.replace(b"size=7", b"size=8")),
    "a digest in capitals": value(b"checksum", b"sha256:" + b"AB" * 32),
    "a short digest": value(b"checksum", b"sha256:ab"),
    "a key twice": text(lambda body: body + b"name=other\n"),
    "a negative size": value(b"size", b"-7"),
    "a size of more digits than there are": value(b"size", b"9" * 30),
    "another size": value(b"size", b"8"),
    "a month that is none": value(b"queued", b"2026-13-01T00:00:00Z"),
    "times that only a broken clock tells": says(queued=0, started=10**18, seconds=1e11),
    "name=..": value(b"name", b".."),
    "name=.": value(b"name", b"."),
    "name=.bashrc": value(b"name", b".bashrc"),
    "name=a/b": value(b"name", b"a/b"),
    "name=/etc/passwd": value(b"name", b"/etc/passwd"),
    "no name": value(b"name", b""),
    "256 bytes of name": value(b"name", b"x" * 256),
    "dir=..": says(options={"dir": ".."}),
    "dir=../../etc": says(options={"dir": "../../etc"}),
    "dir=a/../../b": says(options={"dir": "a/../../b"}),
    "dir=/etc": says(options={"dir": "/etc"}),
    "dir=.ssh": says(options={"dir": ".ssh"}),
    "dir=xferlogs": says(options={"dir": "xferlogs"}),
    "dir=./xferlogs": says(options={"dir": "./xferlogs"}),
    "dir=xferlogs//deeper": says(options={"dir": "xferlogs//deeper"}),
    "dir with a NUL": says(options={"dir": "a\0b"}),
    "dir as deep as it gets": says(options={"dir": "a/" * 400}),
    "dir with 256 bytes in one": says(options={"dir": "x" * 256}),
    "dir that is a file": says(options={"dir": "a-file"}),
    "dir that is a link": says(options={"dir": "a-link"}),
    "another instrument": says(instrument="megacam"),
    "instrument=all": value(b"instrument", b"all"),
    "another id": says(id=new_id()),
    "a signature before the last line": text(lambda body: b"archq=1\nsignature=x\n" + body.removeprefix(b"archq=1\n")),
}

TAKEN: dict[str, tuple[Plant, str]] = {
    "65,536 bytes": (padded(MAX_SIZE), "img0001.fits"),
    "name=-rf": (says(name="-rf"), "-rf"),
    "a newline in the name": (says(name="two\nlines"), "two\nlines"),
    "ESC in the name": (says(name="\x1b]0;title\x07"), "\x1b]0;title\x07"),
    "writing from right to left": (says(name="\u202egpj.exe"), "\u202egpj.exe"),
    "composed": (says(name="caf\u00e9"), "caf\u00e9"),
    "decomposed": (says(name="cafe\u0301"), "cafe\u0301"),
    "bytes of no text": (says(name="\udcff\udcfe"), "\udcff\udcfe"),
    "255 bytes of name": (says(name="x" * 255), "x" * 255),
    "a name like a log": (says(name="20261120.tdcin.log"), "20261120.tdcin.log"),
    "a host that forges a fact": (says(host="packrat path=../../etc/passwd"), "img0001.fits"),
    "a request that forges a line": (says(request="x\n2026-01-01T00:00:00.000Z filed wire=y"), "img0001.fits"),
    "md5": (says(name="md5", checksum=Checksum("md5", "9a0364b9e99bb480dd25e1f0284c8555")), "md5"),
}

IGNORED: dict[str, Plant] = {
    "a check that does not begin a line": raw(lambda whole: whole.replace(b"\ncheck=", b"check=", 1)),
    "an empty control file": lambda site, control: site.leave(control, b"content", text=b""),
    "a control file without an end": raw(lambda whole: whole[:-1]),
    "megabytes without an end": raw(lambda _whole: b"x" * 60_000),
    "version 2": value(b"archq", b"2"),
    "another algorithm": value(b"checksum", b"crc32:00000000"),
    "must.": text(lambda body: body + b"must.execute=rm\n"),
    "try 0": lambda site, control: (site.incoming / f"minicam.{control.id}.0.cf").write_bytes(b""),
    "an id in capitals": lambda site, control: (site.incoming / f"minicam.{control.id.upper()}.1.cf").write_bytes(b""),
    "a name with a suffix": lambda site, control: (site.incoming / f"minicam.{control.id}.1.cf.1").write_bytes(b""),
    "an upload": lambda site, control: (site.incoming / wire_of(control).part).write_bytes(b""),
    "-rf": lambda site, control: (site.incoming / "-rf").write_bytes(b""),
    "a name of 255 bytes": lambda site, control: (site.incoming / ("m" * 255)).write_bytes(b""),
    "a name of no text": lambda site, control: (site.incoming / "\udcff.cf").write_bytes(b""),
    "a date that is a link": lambda site, control: (site.incoming / "2026.1120").symlink_to("/etc"),
    "a date that is a file": lambda site, control: (site.incoming / "20261121").write_bytes(b""),
    "a date that is a FIFO": lambda site, control: os.mkfifo(site.incoming / "2026-11-22"),
}


@contextmanager
def protection(level: int) -> Iterator[None]:
    """Set all of fs.protected_* for everybody, and set back what they were; raise OSError where that cannot be.

    One at a time on the whole machine: the second would take for the machine's own what the first has set.
    """
    files = [f"/proc/sys/fs/protected_{name}" for name in PROTECTED]
    with locked(PROTECTION_LOCK):
        before = [swapped(file, str(level)) for file in files]
        try:
            yield
        finally:
            for file, value in zip(files, before, strict=True):
                swapped(file, value)


def swapped(file: str, value: str) -> str:
    """Write ``value`` into a file of /proc/sys; return what it held."""
    with open(file, "r+") as setting:
        before = setting.read()
        setting.seek(0)
        setting.write(value)
    return before


@contextmanager
def hostile_site() -> Iterator[Site]:
    """Hold an incoming directory that everybody may write, and things outside of it that are not for everybody."""
    with common_ground() as ground:
        site = new_site(ground)
        site.incoming.chmod(0o777)
        (ground / "secret").write_bytes(SECRET)
        (ground / "secret").chmod(0o600)
        (site.archive / "a-file").write_bytes(b"a file")
        (site.archive / "a-link").symlink_to("/etc")
        yield site


def plant_all(site: Site, zoo: dict[str, Plant]) -> dict[str, ControlFile]:
    """Plant everything as the uploader; return the control file that each was made from."""
    planted = {name: control_file(b"content") for name in zoo}

    def plant() -> None:
        for name, control in planted.items():
            zoo[name](site, control)

    as_account(UPLOADER, plant, umask=0o022)
    return planted


def sweep(site: Site) -> Result:
    """Sweep as root, in a process of its own that is ended if it hangs."""

    def limited() -> Result:
        signal.alarm(HANGS)
        return site.sweep("-i", "minicam", "-v")

    return as_account(0, limited, 0)


def nothing_outside_was_touched(site: Site, before: os.stat_result) -> None:
    after = (site.root / "secret").stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    assert (site.root / "secret").read_bytes() == SECRET
    assert {path.name for path in site.root.iterdir()} <= {"incoming", "archive", "archq.toml", "secret", "state"}
    assert not [name for name, content in contents(site.archive).items() if b"not for everybody" in content]
    assert os.readlink(site.archive / "a-link") == "/etc"
