"""The two supported set-ups, with an uploader whose account is not the sweeper's; and what is said of others."""

from __future__ import annotations

import json
import os
import pwd
from typing import TYPE_CHECKING

import pytest

from archq.control import seal
from sweeper.claim import WorkPlace
from sweeper.deputy import accounts_with_dead_claims
from sweeper.incoming import Incoming
from tests.sweeper.accounts import (
    FIRST_SWEEPER,
    SECOND_SWEEPER,
    SWEEPERS,
    UPLOADER,
    UPLOADERS,
    as_account,
    common_ground,
)
from tests.sweeper.arrivals import SILENT_SUCCESS, Result, Site, control_file, new_site, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NIGHT = "2026.1120"


@pytest.fixture
def ground() -> Iterator[Path]:
    with common_ground() as path:
        yield path


@pytest.fixture
def site(ground: Path) -> Site:
    site = new_site(ground)
    give(site.archive, FIRST_SWEEPER, FIRST_SWEEPER, 0o755)
    return site


def give(path: Path, owner: int, group: int, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner, group)
    path.chmod(mode)


def upload(site: Site, **facts) -> None:
    as_account(UPLOADER, lambda: site.arrive(b"content", **facts), UPLOADERS)


@pytest.mark.parametrize("account", [FIRST_SWEEPER, 0])
def test_one_account_that_owns_incoming_sweeps_what_others_upload(site: Site, account: int) -> None:
    give(site.incoming, account, UPLOADERS, 0o2770)
    upload(site)
    assert as_account(account, lambda: site.sweep("-i", "minicam"), account, UPLOADERS) == SILENT_SUCCESS
    filed = (site.archive / NIGHT / "img0001.fits").stat()
    assert (filed.st_uid, filed.st_mode & 0o7777) == (account, 0o444)
    assert site.arrivals() == {}


def test_members_of_a_group_sweep_their_own_instruments(site: Site) -> None:
    give(site.incoming, UPLOADER, SWEEPERS, 0o2770)
    other = site.root / "other"
    other.mkdir()
    give(other, SECOND_SWEEPER, SECOND_SWEEPER, 0o755)
    for instrument in ("minicam", "megacam"):
        upload(site, instrument=instrument)
    assert group_sweeps(site, FIRST_SWEEPER, "-i", "minicam") == SILENT_SUCCESS
    assert group_sweeps(site, SECOND_SWEEPER, "-i", "megacam", "-d", str(other)) == SILENT_SUCCESS
    assert site.archived() == {f"{NIGHT}/img0001.fits": b"content"}
    assert (other / NIGHT / "img0001.fits").stat().st_uid == SECOND_SWEEPER
    work = {path.name: path.stat() for path in (site.incoming / ".archq-work").iterdir()}
    assert {name: (facts.st_uid, facts.st_mode & 0o7777) for name, facts in work.items()} == {
        str(account): (account, 0o2700) for account in (FIRST_SWEEPER, SECOND_SWEEPER)
    }


def group_sweeps(site: Site, account: int, *words: str) -> Result:
    return as_account(account, lambda: site.sweep(*words), account, SWEEPERS)


def test_members_of_a_group_set_aside_and_go_on(site: Site) -> None:
    give(site.incoming, UPLOADER, SWEEPERS, 0o2770)
    upload(site, size=8)
    upload(site)
    assert group_sweeps(site, FIRST_SWEEPER, "-i", "minicam").status == 3
    assert site.archived() == {f"{NIGHT}/img0001.fits": b"content"}
    assert sorted(site.outcomes()) == ["filed", "rejected"]
    assert (site.incoming / ".archq-rejected" / str(FIRST_SWEEPER)).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o2750, "cannot use the work directory"),
        (0o3770, "and not sticky"),
    ],
)
def test_an_incoming_directory_that_cannot_be_swept_is_told_with_the_remedy(site: Site, mode: int, told: str) -> None:
    give(site.incoming, UPLOADER, SWEEPERS, mode)
    upload(site)
    before = site.arrivals()
    result = group_sweeps(site, FIRST_SWEEPER, "-i", "minicam")
    assert result.status == 78
    assert told in result.errors
    assert result.errors.count("\n") == 1
    assert site.arrivals() == before


def test_uploads_that_nobody_else_may_read_wait_and_are_told(site: Site) -> None:
    give(site.incoming, UPLOADER, SWEEPERS, 0o2770)
    as_account(UPLOADER, lambda: site.arrive(b"content"), UPLOADERS, umask=0o077)
    result = group_sweeps(site, FIRST_SWEEPER, "-i", "minicam")
    assert result.status == 77
    told = f".df: cannot be read in {site.incoming}: Permission denied; uploads have to be readable for this account"
    assert told in result.errors
    assert len(site.arrivals()) == 2


def test_logs_that_root_has_begun_their_owner_goes_on_with(site: Site) -> None:
    give(site.incoming, FIRST_SWEEPER, UPLOADERS, 0o2770)
    for account in (0, FIRST_SWEEPER):
        upload(site, options={"dir": f"by{account}"})
        assert as_account(account, lambda: site.sweep("-i", "minicam"), account, UPLOADERS) == SILENT_SUCCESS
    assert len(site.archived()) == 2
    assert len(site.lines()) == 2


def test_a_work_place_on_another_filesystem_is_refused(site: Site) -> None:
    elsewhere = "/dev/shm"
    if os.stat(elsewhere).st_dev == site.root.stat().st_dev:
        pytest.fail("the temporary directory is on /dev/shm itself: set TMPDIR to a disk")
    site.configuration.write_text(f'[sweeper]\nincoming = "{site.incoming}"\nwork = "{elsewhere}/archq-test-work"\n')
    try:
        result = site.sweep("-i", "minicam")
    finally:
        os.rmdir(f"{elsewhere}/archq-test-work/{os.geteuid()}")
        os.rmdir(f"{elsewhere}/archq-test-work")
    assert result.status == 78
    assert "is not on the filesystem of" in result.errors
    assert "name a place there in [sweeper] work" in result.errors


@pytest.mark.parametrize("recorded", [False, True])
def test_root_finishes_for_other_accounts_but_as_those_accounts(site: Site, recorded: bool) -> None:
    """Of a sweeper that was killed before it had decided, or after."""
    daemon = pwd.getpwnam("daemon")
    for path in (site.incoming, site.archive):
        give(path, daemon.pw_uid, daemon.pw_gid, 0o755)
    control = control_file(b"content")
    as_account(daemon.pw_uid, lambda: site.leave(control, b"content"), daemon.pw_gid, umask=0o022)
    step = "sweeper.ledger.Ledger.append" if recorded else "sweeper.settling._carry_out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, lambda *_, **__: os._exit(1))
        with pytest.raises(EOFError):
            as_account(daemon.pw_uid, lambda: site.sweep("-i", "minicam"), daemon.pw_gid)
    assert len(site.claims()) == 1
    (site.root / "other").mkdir(mode=0o700)
    result = as_account(0, lambda: site.run("-i", "megacam", "-f", str(site.incoming), "-d", f"{site.root}/other"), 0)
    assert result == SILENT_SUCCESS
    assert site.claims() == []
    if recorded:
        assert site.outcomes() == ["filed"]
        assert (site.archive / NIGHT / "img0001.fits").stat().st_uid == daemon.pw_uid
    else:
        assert sorted(site.arrivals()) == sorted([str(wire_of(control)), str(wire_of(control).control)])


def test_root_obeys_no_record_that_another_account_wrote(site: Site) -> None:
    """Its own directory where sweepers work, and a record that would have root append to a file of root's."""
    give(site.incoming, UPLOADER, UPLOADERS, 0o2770)
    secret = site.root / "secret"
    secret.write_bytes(b"root's own\n")
    nobody = pwd.getpwnam("nobody")

    def plant() -> None:
        claim = site.incoming / ".archq-work" / str(nobody.pw_uid) / "elsewhere~abc~1~2~3~1"
        claim.mkdir(mode=0o700, parents=True)
        claim.parent.chmod(0o700)
        wire = wire_of(control_file(b""))
        line = [str(wire), 0, "superseded", {"wire": str(wire)}, "", [], "", []]
        logs = {"directory": str(site.root), "name": "secret", "alone": True}
        record = {"logs": logs, "log": str(secret), "hook": {"command": f"touch {site.root}/run", "limit": 0}}
        (claim / "intents.1").write_bytes(seal(json.dumps({**record, "intents": [line]}).encode() + b"\n"))
        os.utime(claim, (1, 1))

    as_account(nobody.pw_uid, plant, UPLOADERS, umask=0)
    assert as_account(0, lambda: site.sweep("-i", "minicam"), 0).status == 75
    assert secret.read_bytes() == b"root's own\n"
    assert not (site.root / "run").exists()


def test_root_looks_for_dead_claims_in_the_work_place_and_not_where_a_link_in_its_place_leads(site: Site) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    daemon = pwd.getpwnam("daemon")
    outside = site.root / "outside"
    (outside / str(daemon.pw_uid) / "elsewhere~abc~1~2~3~1").mkdir(parents=True)
    give(outside / str(daemon.pw_uid), daemon.pw_uid, daemon.pw_gid, 0o700)
    os.utime(outside / str(daemon.pw_uid) / "elsewhere~abc~1~2~3~1", (1, 1))
    with Incoming(str(site.incoming)) as incoming, WorkPlace(incoming) as work:
        (site.incoming / ".archq-work").rename(site.incoming / "moved")
        (site.incoming / ".archq-work").symlink_to(outside)
        assert accounts_with_dead_claims(work) == []
