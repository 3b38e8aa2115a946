"""Fetching servers: what is kept, and what a machine that cannot fetch is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.requirements import require
from tests.servers import debian
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only directory of programs, and empty; with a cache that is empty too."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(debian, "CACHE", tmp_path / "cache")
    debian.failed_update.cache_clear()
    yield directory
    debian.failed_update.cache_clear()


def make_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_apt_the_reason_says_so(programs: Path) -> None:
    with pytest.raises(UnavailableError, match="apt-get is not on this machine, and the real servers are Debian"):
        debian.fetched("vsftpd")


def test_without_network_the_reason_is_apts_first_error_and_lists_are_asked_for_once(
    programs: Path, tmp_path: Path
) -> None:
    complaint = "echo 'W: no InRelease' >&2; echo 'E: Temporary failure resolving the mirror' >&2; echo 'E: Bye' >&2"
    make_program(
        programs / "apt-get", f'case "$*" in *update*) echo asked >> {tmp_path}/calls; {complaint};; esac; exit 100'
    )
    for package in ("vsftpd", "pure-ftpd"):
        with pytest.raises(UnavailableError, match="apt-get cannot fetch the real servers: E: Temporary failure"):
            debian.fetched(package)
    assert (tmp_path / "calls").read_text() == "asked\n"


def test_stale_lists_do_when_they_still_lead_to_the_packages(programs: Path) -> None:
    make_program(programs / "apt-get", 'case "$*" in *update*) exit 100;; esac')
    assert debian.fetched("vsftpd").root.is_dir()


def test_an_interrupted_fetch_is_begun_again_and_a_whole_one_is_kept(programs: Path, tmp_path: Path) -> None:
    leftover = debian.CACHE / "vsftpd.building" / "half"
    leftover.mkdir(parents=True)
    archive = debian.CACHE / "vsftpd.archives" / "vsftpd.deb"
    make_program(programs / "apt-get", f'case "$*" in *install*) echo deb > {archive};; esac')
    make_program(programs / "dpkg", 'IFS= read -r deb < "$2"; /bin/mkdir -p "$3"; echo "$deb" > "$3/vsftpd"')
    unpacked = debian.fetched("vsftpd")
    assert [path.name for path in unpacked.root.iterdir()] == ["vsftpd"]
    make_program(programs / "apt-get", "exit 100")
    assert debian.fetched("vsftpd") == unpacked


def test_a_missing_requirement_skips_visibly_but_fails_in_continuous_integration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require(True, "never told")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no network here"):
        require(False, "no network here")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nothing is skipped where CI is set: no network here"):
        require(False, "no network here")
