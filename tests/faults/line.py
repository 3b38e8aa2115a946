"""A whole line in one directory: an instrument's spool, an incoming directory, an archive, and what is owed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archq.names import parse_logged_name, parse_wire_name
from tests.faults import launch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.faults.launch import Ended
    from tests.places import Place

CONFIGURATION = """\
default = "archive"
spool = "{home}/spool"
autostart = false

[queue.archive]
url = "{url}"
instrument = "minicam"
account = "{account}"
idle = 20
{queue}
[queue.other]
url = "file:{home}/other"

[instrument.minicam]
directory = "{home}/archive"

[sweeper]
incoming = "{incoming}"
any_directory = "{home}/any"
"""
VISITOR = "visitor"  # an instrument that is not configured: all such are taken together, and filed later
SWEEP_ANY = ("-A", "+n", "none")
MTIME = 1_795_144_455_926_535_897  # nanoseconds since 1970, of every source
_REQUEST = re.compile(r"request id is (\S+)")


@dataclass(frozen=True)
class Line:
    """Where everything is, what was submitted, and for what we have promised delivery."""

    home: Path
    incoming: Path
    url: str
    account: str = "full"
    secrets: str = ""  # lines of the queue's configuration
    meddle: Callable[[], object] = lambda: None
    contents: dict[str, bytes] = field(default_factory=dict)  # of every source, by name
    owed: set[str] = field(default_factory=set)  # the sources whose request was acknowledged

    @classmethod
    def at(cls, home: Path, place: Place | None = None) -> Line:
        """Return a line whose queue puts files into ``place``, by default into a directory of the line's own."""
        if place is None:
            return cls(home, home / "incoming", f"file:{home}/incoming")
        words = {key: getattr(place.settings, key) for key in ("password_file", "key", "known_hosts")}
        secrets = "".join(f'{key} = "{value}"\n' for key, value in words.items() if value)
        return cls(home, place.incoming, place.settings.url, place.kind, secrets)

    def build(self, queue: str = "") -> Line:
        """Make everything anew and empty."""
        self.clear()
        for name in ("data", "archive", "any", "other", "user"):
            (self.home / name).mkdir(parents=True)
        self.incoming.mkdir(exist_ok=True)
        text = CONFIGURATION.format(
            home=self.home, url=self.url, account=self.account, incoming=self.incoming, queue=self.secrets + queue
        )
        (self.home / "archq.toml").write_text(text)
        return self

    def clear(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        if self.incoming.is_dir():
            empty(self.incoming)
        self.contents.clear()
        self.owed.clear()

    def snapshot(self, place: Path) -> Snapshot:
        """Keep the line as it is, to be brought back again and again."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        copy(self.home, place / "home")
        if not self.incoming.is_relative_to(self.home):
            copy(self.incoming, place / "incoming")
        return Snapshot(self, place, dict(self.contents), set(self.owed))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home / "user"),
            "ARCHQ_CONFIG": str(self.home / "archq.toml"),
            "TZ": "UTC",
        }

    def meddled(self, meddle: Callable[[], object]) -> Line:
        """Return the same line with programs that are changed by ``meddle`` before they begin."""
        return replace(self, meddle=meddle)

    def source(self, name: str, content: bytes) -> str:
        path = self.home / "data" / name
        path.write_bytes(content)
        os.utime(path, ns=(MTIME, MTIME))
        self.contents[path.name] = content
        return str(path)

    def run(self, program: str, *words: str) -> Ended:
        return self.noted(words, launch.run(program, words, self.environment, meddle=self.meddle))

    def traced(self, program: str, words: tuple[str, ...], strace: list[str], trace: Path) -> Ended:
        ended = launch.traced(program, words, self.environment, strace, trace, meddle=self.meddle)
        return self.noted(words, ended)

    def watched(
        self, program: str, words: tuple[str, ...], tracing: Callable[[int], AbstractContextManager[object]]
    ) -> Ended:
        ended = launch.run(program, words, self.environment, meddle=self.meddle, tracing=tracing)
        return self.noted(words, ended)

    def noted(self, words: tuple[str, ...], ended: Ended) -> Ended:
        """Take note of a promise: once a request's id is printed its files are owed."""
        if _REQUEST.search(ended.output):
            self.owed.update(Path(word).name for word in words if word.startswith(str(self.home)))
        return ended

    def submit(self, *names: str, size: int = 3000, words: tuple[str, ...] = ()) -> Ended:
        sources = [self.source(name, (name.encode() * size)[:size]) for name in names]
        return self.run("archq", "submit", *words, *sources)

    def arrivals(self) -> list[str]:
        return sorted(name for name in os.listdir(self.incoming) if parse_wire_name(name.removesuffix(".part")))

    def let_rest(self) -> None:
        """Let an hour pass for what lies about, so that it is taken for given up."""
        before = time.time() - 3600
        for name in os.listdir(self.incoming):
            if parse_logged_name(name):
                os.utime(self.incoming / name, (before, before))


@dataclass(frozen=True)
class Snapshot:
    """A line that can be brought back as it was."""

    line: Line
    place: Path
    contents: dict[str, bytes]
    owed: set[str]

    def restore(self) -> Line:
        self.line.clear()
        copy(self.place / "home", self.line.home)
        return self.restore_around()

    def restore_around(self) -> Line:
        """Bring back all but the line's home."""
        line = self.line
        line.contents.clear()
        line.owed.clear()
        if (self.place / "incoming").is_dir():
            empty(line.incoming)
            for entry in (self.place / "incoming").iterdir():
                copy(entry, line.incoming / entry.name)
        line.contents.update(self.contents)
        line.owed.update(self.owed)
        return line


def copy(source: Path, target: Path) -> None:
    """Copy a tree with its times and hard links."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
