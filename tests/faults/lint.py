"""Read every call of a command in its order, and ask at each what a power cut now would leave.

The model keeps what POSIX lets be lost, even where a journal hides it: bytes until fsync of their file, names until
fsync of their directory.  The rules:

- nothing gets a name that others go by while its bytes, or names in it, may be lost;
- nothing is destroyed while a published name may be lost;
- no promise (a request id, a line in the transfer log, a file's "sent", a command's success) is made while anything of
  it may be lost;
- a name given up for another is not forgotten durably before the other is known durably.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq.names import parse_wire_name
from tests.faults import scenarios, strace
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.line import Line
    from tests.faults.scenarios import Scenario, Scene, Stage
    from tests.faults.strace import Call

QUICK = LONG = Limits(seconds=30, points=10_000)

_AT = re.compile(r'(?:AT_FDCWD|\d+)<(?P<directory>[^>]*)>(?:\(deleted\))?, "(?P<name>(?:[^"\\]|\\.)*)"')
_NAME = re.compile(r'"(?P<name>(?:[^"\\]|\\.)*)"')
_OPEN = re.compile(r"\d+<(?P<path>[^>]*)>")


@dataclass
class Disk:
    """What would be lost now; paths are absolute."""

    root: str
    bytes: set[str] = field(default_factory=set)  # files that have bytes, times or modes not synced
    names: set[str] = field(default_factory=set)  # new names whose directory is not synced
    gone: dict[str, str] = field(default_factory=dict)  # old names not durably forgotten: where the file went, or ""
    notes: list[str] = field(default_factory=list)

    def lost(self, below: str = "") -> list[str]:
        """Return what would be lost, but for what nobody relies on."""
        place = below or self.root
        return sorted(path for path in self.bytes | self.names if _is_below(path, place) and not _is_hint(self, path))

    def lost_with(self, path: str) -> list[str]:
        """Return what keeps ``path``, a file or a tree, from being found whole after a power cut, its own name too."""
        above = [path[:end] for end in range(len(self.root) + 1, len(path)) if path[end] == "/"]
        return sorted({*self.lost(path), *(name for name in (*above, path) if name in self.names)})

    def moved(self, old: str, new: str) -> None:
        was_known = not any(_is_below(old, name) for name in self.names)
        for name, target in self.gone.items():
            if target and _is_below(target, old):
                self.gone[name] = new + target[len(old) :]
        for paths in (self.bytes, self.names):
            for path in [path for path in paths if _is_below(path, old)]:
                paths.discard(path)
                paths.add(new + path[len(old) :])
        self.names.add(new)
        if was_known:
            self.gone[old] = new

    def removed(self, path: str) -> None:
        self.bytes.discard(path)
        self.names.discard(path)
        self.gone[path] = ""

    def synced(self, path: str) -> None:
        self.bytes.discard(path)
        self.names = {name for name in self.names if os.path.dirname(name) != path}
        self.gone = {old: new for old, new in self.gone.items() if os.path.dirname(old) != path}


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _is_hint(disk: Disk, path: str) -> bool:
    """Say whether nobody relies on ``path``: an index, a lock, a sign of life, the spool's own diary."""
    parts = path[len(disk.root) + 1 :].split("/")
    base = parts[-1]
    return (
        base.startswith((".archq-index", ".archq-lock"))
        or base in {"lock", "wake"}
        or parts[0] == "user"
        or parts[:2] in (["spool", "log"], ["spool", "building"])
        or ".archq-work" in parts
    )


@dataclass
class Linter:
    """Follows the calls of one command."""

    disk: Disk
    incoming: str

    def follow(self, calls: Iterator[Call]) -> Iterator[str]:
        for call in calls:
            if call.result is None or call.result < 0:
                continue
            yield from (f"{call.name}({call.text[:160]}): {problem}" for problem in self._judge(call))
            self._apply(call)

    def ended(self, status: int) -> Iterator[str]:
        if status == 0:
            for path in self.disk.lost():
                yield f"success was told, and a power cut could lose {path}"

    # What a call would put at risk.

    def _judge(self, call: Call) -> Iterator[str]:
        if call.name.startswith(("rename", "link")):
            old, new = _two_paths(call)
            yield from self._judge_publishing(old, new)
        if call.name in {"unlink", "unlinkat"}:
            (path,) = _paths(call)
            yield from self._judge_destruction(path)
        if call.name in {"write", "pwrite64"}:
            yield from self._judge_promise(_open_path(call), call.text)
        if call.name in {"fsync", "fdatasync"}:
            yield from self._judge_forgetting(_open_path(call))

    def _judge_publishing(self, old: str, new: str) -> Iterator[str]:
        is_hidden = os.path.basename(new).startswith(".")
        if _is_below(new, self.disk.root) and not is_hidden and not _is_hint(self.disk, new):
            for path in self.disk.lost(old) if not _is_hint(self.disk, old) else self._all_lost(old):
                if path != old or path in self.disk.bytes:
                    yield f"publishes {new} while {path} may be lost"

    def _all_lost(self, place: str) -> list[str]:
        return sorted(path for path in self.disk.bytes | self.disk.names if _is_below(path, place))

    def _judge_destruction(self, path: str) -> Iterator[str]:
        if parse_wire_name(os.path.basename(path)) and "archive" not in path:
            for lost in self.disk.lost():
                yield f"destroys an arrival while {lost} may be lost"

    def _judge_promise(self, path: str, text: str) -> Iterator[str]:
        if "request id is" in text and not path.startswith(self.disk.root):
            place, what = f"{self.disk.root}/spool", "a request id is printed"
        elif path.endswith(".tdcin.log"):
            place, what = self.disk.root, "the transfer log tells of an outcome"
        elif path.endswith("/journal") and "phase=sent" in text:
            place, what = self.incoming, "a file is recorded as sent"
        else:
            return
        for lost in self.disk.lost(place):
            if lost not in (path, os.path.dirname(path)):
                yield f"{what} while {lost} may be lost"

    def _judge_forgetting(self, directory: str) -> Iterator[str]:
        for old, new in self.disk.gone.items():
            moved = os.path.dirname(old) == directory and os.path.dirname(new) != directory
            if moved and new and not os.path.basename(new).startswith("."):
                for lost in self.disk.lost_with(new):
                    if os.path.dirname(lost) != directory:  # else this very call makes it known
                        yield f"forgets {old} while its new name {new} may be lost ({lost})"

    # What a call does.

    def _apply(self, call: Call) -> None:
        for calls, apply in _EFFECTS:
            if call.name in calls:
                apply(self, call)

    def _renamed(self, call: Call) -> None:
        self.disk.moved(*_two_paths(call))

    def _linked(self, call: Call) -> None:
        self.disk.names.add(_two_paths(call)[1])

    def _removed(self, call: Call) -> None:
        self.disk.removed(*_paths(call))

    def _made(self, call: Call) -> None:
        self.disk.names.update(_paths(call))

    def _opened(self, call: Call) -> None:
        if "O_EXCL" in call.text and call.path:
            self.disk.names.add(call.path)

    def _changed(self, call: Call) -> None:
        self._wrote(_open_path(call))

    def _dated(self, call: Call) -> None:
        if '"' not in call.text:
            self._wrote(_open_path(call))

    def _cloned(self, call: Call) -> None:
        if "FICLONE" in call.text:
            self._wrote(_open_path(call))

    def _copied(self, call: Call) -> None:
        self._wrote(_OPEN.findall(call.text)[-1 if call.name == "copy_file_range" else 0])

    def _synced(self, call: Call) -> None:
        self.disk.synced(_open_path(call))

    def _all_synced(self, _call: Call) -> None:
        self.disk.bytes.clear()
        self.disk.names.clear()
        self.disk.gone.clear()

    def _wrote(self, path: str) -> None:
        if path.startswith(self.disk.root) and not os.path.isdir(path):
            self.disk.bytes.add(path)


_EFFECTS: list[tuple[set[str], Callable[[Linter, Call], None]]] = [
    ({"rename", "renameat", "renameat2"}, Linter._renamed),
    ({"link", "linkat"}, Linter._linked),
    ({"unlink", "unlinkat", "rmdir"}, Linter._removed),
    ({"mkdir", "mkdirat"}, Linter._made),
    ({"open", "openat"}, Linter._opened),
    ({"write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate", "fchmod", "fchown"}, Linter._changed),
    ({"utimensat"}, Linter._dated),
    ({"ioctl"}, Linter._cloned),
    ({"copy_file_range", "sendfile"}, Linter._copied),
    ({"fsync", "fdatasync"}, Linter._synced),
    ({"syncfs", "sync"}, Linter._all_synced),
]


def _open_path(call: Call) -> str:
    match = _OPEN.match(call.text)
    return match["path"] if match else ""


def _paths(call: Call) -> tuple[str, ...]:
    """Return the paths that a call names, whether with a directory's descriptor or without."""
    found = [(match["directory"], match["name"]) for match in _AT.finditer(call.text)]
    if not found:
        found = [("", match["name"]) for match in _NAME.finditer(call.text)]
    return tuple(os.path.normpath(os.path.join(directory, name)) for directory, name in found)


def _two_paths(call: Call) -> tuple[str, str]:
    old, new = _paths(call)
    return old, new


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("trace linter", limits)
    scenes = [stage.scene(scenario) for scenario in chosen]
    for scene in tally.sampled(scenes):
        problems = list(_problems(stage, scene, tally, meddle))
        tally.blame(scene.name, problems)
    return tally


def _problems(stage: Stage, scene: Scene, tally: Tally, meddle: Callable[[], object] | None) -> Iterator[str]:
    line: Line = scene.snapshot.restore()
    if meddle:
        line = line.meddled(meddle)
    trace = stage.scratch / "trace"
    ended = line.traced(scene.program, scene.words, ["-y", "-s", "4096", "-e", f"trace={strace.CHANGING},ioctl"], trace)
    calls = list(strace.calls(trace))
    tally.facts["calls"] = int(str(tally.facts.get("calls", 0))) + len(calls)
    linter = Linter(Disk(str(line.home)), str(line.incoming))
    yield from linter.follow(iter(calls))
    yield from linter.ended(ended.status)
