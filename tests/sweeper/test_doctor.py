"""Looking at all that a sweep needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sweeper import doctor
from tests.sweeper.accounts import FIRST_SWEEPER, SWEEPERS, UPLOADER, as_account, common_ground
from tests.sweeper.arrivals import Result, Site, control_file, new_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


@pytest.fixture
def ground() -> Iterator[Path]:
    with common_ground() as path:
        yield path


def doctor_of(site: Site, *words: str) -> Result:
    return site.sweep("-i", "minicam", "--doctor", *words)


def test_where_all_is_well_everything_is_told_to_be(site: Site) -> None:
    site.arrive()
    result = doctor_of(site)
    assert result.status == 0
    assert result.errors == ""
    lines = result.output.splitlines()
    assert all(line.startswith("ok     ") for line in lines)
    for told in (
        f"may read {site.incoming} and take files out of it",
        "1 arrivals lie there",
        f"may make files in {site.archive}, and rename them without replacing others",
        f"the archive is on the filesystem of {site.incoming}",
        f"may work in {site.incoming}/.archq-work/{os.geteuid()}",
        "no signature is asked for",
    ):
        assert f"ok     {told}" in lines
    assert len(site.arrivals()) == 2
    assert site.archived() == {}


WRONG = {
    "no incoming directory": (
        lambda site: site.incoming.rmdir(),
        "wrong  cannot open the incoming directory {root}/incoming: No such file or directory",
    ),
    "no archive": (
        lambda site: site.archive.rmdir(),
        "wrong  {root}/archive does not exist: mount it, or make it with mkdir -p {root}/archive",
    ),
    "a link where logs should be": (
        lambda site: site.logs.write_text("no directory"),
        "wrong  cannot make the log directory {root}/archive/xferlogs: File exists",
    ),
    "a zone that is none": (
        lambda site: site.configuration.write_text('[instrument.minicam]\nzone = "MTS"\n'),
        "wrong  [instrument.minicam] zone or dated: unknown time zone 'MTS'",
    ),
    "a command that is not there": (
        lambda site: site.configuration.write_text('[instrument.minicam]\non_filed = "/no/such arg"\n'),
        "wrong  on_filed: /no/such cannot be run: is it there, and executable for this account?",
    ),
    "a command with a quote too few": (
        lambda site: site.configuration.write_text('[instrument.minicam]\non_filed = "x \'y"\n'),
        'wrong  on_filed = "x \'y" is no command: mend its quotes',
    ),
}


@pytest.mark.parametrize(("spoil", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_a_remedy_and_the_rest_is_looked_at_too(site: Site, spoil, told: str) -> None:
    spoil(site)
    result = doctor_of(site)
    assert result.status == 78
    assert told.format(root=site.root) in result.output
    assert "ok     " in result.output


def test_little_room_is_told(site: Site, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "free_space", lambda _directory: 5_000_000)
    result = doctor_of(site)
    assert result.status == 78
    assert f"wrong  5.0 MB free in {site.archive}: make room\n" in result.output


def test_claims_are_told_and_whether_their_process_lives(site: Site) -> None:
    doctor_of(site)
    (work,) = (site.incoming / ".archq-work").iterdir()
    (work / "elsewhere~abc~1~2~3~1").mkdir()
    assert "a claim of process 2 on elsewhere (alive)" in doctor_of(site).output


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o2750, "wrong  may not take files out of {incoming}: make it ours, or a group's"),
        (0o3770, "wrong  {incoming} is sticky, so that only an uploader may move his files: chmod -t it"),
    ],
)
def test_an_incoming_directory_with_a_wrong_mode_is_told(ground: Path, mode: int, told: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as other accounts")
    site = new_site(ground)
    os.chown(site.archive, FIRST_SWEEPER, -1)
    os.chown(site.incoming, UPLOADER, SWEEPERS)
    site.incoming.chmod(0o2770)
    as_account(UPLOADER, lambda: site.leave(control_file(b""), b""), SWEEPERS, umask=0o077)
    site.incoming.chmod(mode)
    result = as_account(FIRST_SWEEPER, lambda: doctor_of(site), FIRST_SWEEPER, SWEEPERS)
    assert result.status == 78
    assert told.format(incoming=site.incoming) in result.output
    assert "wrong  may not read 1 uploads, such as minicam." in result.output
    assert "let the server write them with umask 027" in result.output
