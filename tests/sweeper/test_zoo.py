"""Hostile ground: whatever an uploader plants is ignored or set aside, and nothing outside is read or changed."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.control import format_control
from archq.durable import locked
from tests.sweeper.accounts import UPLOADER, as_account
from tests.sweeper.arrivals import Site, control_file, wire_of
from tests.sweeper.zoo import (
    IGNORED,
    PROTECTION_LOCK,
    REFUSED,
    SECRET,
    TAKEN,
    control_of,
    data,
    hostile_site,
    nothing_outside_was_touched,
    plant_all,
    protection,
    sweep,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.control import ControlFile


@pytest.fixture(params=[0, 1], ids=["unprotected", "protected"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another account")
    with ExitStack() as stack:
        try:
            stack.enter_context(protection(request.param))
        except OSError as error:
            pytest.skip(f"cannot set fs.protected_*: {error}")
        yield stack.enter_context(hostile_site())


def test_there_are_enough_animals() -> None:
    assert len(REFUSED) + len(TAKEN) + len(IGNORED) >= 60


def test_only_one_at_a_time_changes_what_the_kernel_protects(site: Site) -> None:
    with pytest.raises(BlockingIOError), locked(PROTECTION_LOCK, wait=False):
        pass


def test_what_cannot_be_right_is_set_aside_with_a_reason_and_a_line(site: Site, monkeypatch) -> None:
    before = (site.root / "secret").stat()
    planted = plant_all(site, REFUSED)
    device = control_file(b"content")
    os.mknod(data(site, device), stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero has no end
    control_of(site, device).write_bytes(format_control(device))
    planted["data: a device"] = device
    # A second link is no attack in its first minute, when it may be a sender's own.
    monkeypatch.setattr("sweeper.inspection.LINK_GRACE", -(10**15))
    assert sweep(site).status == 3
    rejected = {line.facts["wire"]: line.facts["reason"] for line in site.lines() if line.outcome == "rejected"}
    missing = {name for name, control in planted.items() if str(wire_of(control)) not in rejected}
    assert missing == set()
    assert all(rejected.values())
    assert len(rejected) == len(planted)
    assert site.archived().keys() == {"a-file", "a-link"}
    left = {name for name in os.listdir(site.incoming) if not name.startswith((".archq-", "own-"))}
    assert left == set()
    aside = site.incoming / ".archq-rejected" / "0"
    assert {path.name for path in aside.iterdir()} == {wire.removesuffix(".df") for wire in rejected}
    assert all((path / "reason").read_text().strip() for path in aside.iterdir())
    nothing_outside_was_touched(site, before)


def test_what_is_odd_but_right_is_filed_under_its_very_name(site: Site) -> None:
    before = (site.root / "secret").stat()
    planted = plant_all(site, {name: plant for name, (plant, _archived) in TAKEN.items()})
    result = sweep(site)
    assert result.status == 0
    assert sorted(line.outcome for line in site.lines()) == ["duplicate"] * 2 + ["filed"] * (len(planted) - 2)
    archived = {path.name for path in (site.archive / "2026.1120").iterdir()}
    assert archived == {name for _plant, name in TAKEN.values()}
    assert {line.facts["wire"] for line in site.lines()} == {str(wire_of(control)) for control in planted.values()}
    nothing_outside_was_touched(site, before)


def test_what_is_not_whole_or_not_ours_is_left_alone(site: Site) -> None:
    before = (site.root / "secret").stat()
    plant_all(site, IGNORED)
    names = set(os.listdir(site.incoming))
    for _ in range(2):
        result = sweep(site)
        assert result.status == 75
        assert result.errors.isprintable() or "\x1b" not in result.errors
    assert set(os.listdir(site.incoming)) - {".archq-work"} == names
    assert {line.outcome for line in site.lines()} == {"error"}
    nothing_outside_was_touched(site, before)


@pytest.mark.parametrize("held", ["control", "data"])
def test_an_uploaders_lease_on_a_file_holds_up_nobody(site: Site, held: str) -> None:
    """Whoever opens a file with a lease may have to wait for its holder, who here has gone to sleep (fcntl(2))."""
    planted = plant_all(site, {"leased": lambda site, control: site.leave(control, b"content")})
    site.leave(other := control_file(b"other", name="other.fits"), b"other")
    leased = (control_of if held == "control" else data)(site, planted["leased"])
    with a_lease(leased):
        result = sweep(site)
    assert "other.fits" in {path.rpartition("/")[2] for path in site.archived()}
    assert str(wire_of(planted["leased"])) in result.errors
    assert str(wire_of(planted["leased"])) in site.arrivals()
    assert sweep(site).status == 0
    assert {"img0001.fits", "other.fits"} <= {path.rpartition("/")[2] for path in site.archived()}
    assert not set(site.arrivals()) & {str(wire_of(other)), str(wire_of(planted["leased"]))}


@contextmanager
def a_lease(path: Path) -> Iterator[None]:
    """Let a process of the uploader's hold a lease on ``path``, and do nothing when somebody else wants the file."""
    reading, writing = os.pipe()
    if not (holder := os.fork()):
        os.setresuid(UPLOADER, UPLOADER, UPLOADER)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(os.open(path, os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.write(writing, b"held")
        signal.pause()
    os.close(writing)
    try:
        assert os.read(reading, 4) == b"held"
        yield
    finally:
        os.close(reading)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


@pytest.mark.parametrize("name", [".archq-work", ".archq-rejected"])
@pytest.mark.parametrize("kind", ["a link", "a file", "the uploader's own directory"])
def test_our_own_places_are_not_taken_from_an_uploader(site: Site, name: str, kind: str) -> None:
    before = (site.root / "secret").stat()
    outside = site.root / "archive" / "outside"
    outside.mkdir(mode=0o777)

    def plant() -> None:
        if kind == "a link":
            (site.incoming / name).symlink_to(outside)
        elif kind == "a file":
            (site.incoming / name).write_bytes(b"")
        else:
            (site.incoming / name).mkdir(mode=0o777)
            (site.incoming / name / "0").mkdir(mode=0o700)

    as_account(UPLOADER, plant, umask=0)
    bad = control_file(b"content")
    as_account(UPLOADER, lambda: site.leave(bad, b"conte"), umask=0o022)
    result = sweep(site)
    assert result.status == 78
    assert f"the {name.removeprefix('.archq-')} directory {site.incoming}/{name}/0" in result.errors
    assert len(site.arrivals()) == 2
    assert list(outside.iterdir()) == []
    nothing_outside_was_touched(site, before)


def test_entries_that_are_swapped_while_they_are_looked_at_never_lead_outside(site: Site) -> None:
    """The data file is now a file and now a link to the secret, in quick turns."""
    before = (site.root / "secret").stat()
    outcomes = []
    for _ in range(10):
        control = control_file(SECRET)
        with swapping(site, control):
            as_account(UPLOADER, lambda sent=control: site.leave(sent, None), umask=0o022)
            outcomes.append(sweep(site).status)
    assert set(outcomes) <= {0, 3}
    assert site.archived().keys() == {"a-file", "a-link"}
    nothing_outside_was_touched(site, before)


@contextmanager
def swapping(site: Site, control: ControlFile) -> Iterator[None]:
    child = os.fork()
    if not child:
        try:
            os.setresuid(UPLOADER, UPLOADER, UPLOADER)
            os.chdir(site.incoming)
            _swap(str(wire_of(control)), site.root / "secret")
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _swap(name: str, secret: Path) -> None:
    while True:
        for make in (lambda: Path("other").write_bytes(b"content"), lambda: Path("other").symlink_to(secret)):
            with suppress(OSError):
                make()
                os.rename("other", name)
            with suppress(OSError):
                os.unlink("other")
