"""The command line: the original's options to the letter, and what is said of wrong ones."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archq import durable
from tests.sweeper.arrivals import SILENT_SUCCESS, Site, contents, control_file, wire_of

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = "2026.1120"
DAILY_LOG = "%Y%m%d.tdcin.log"


def test_the_original_first_example(site: Site) -> None:
    """A file from .../ARCHMINICAM/2002.0523 winds up in a directory of that name."""
    archive = site.root / "ARCHMINICAM"
    archive.mkdir()
    site.arrive(path="/h/ftphome/ARCHMINICAM/2002.0523/x.fits", name="x.fits")
    assert site.run("-f", str(site.incoming), "-i", "minicam", "-d", str(archive)) == SILENT_SUCCESS
    assert contents(archive, without="xferlogs") == {"2002.0523/x.fits": b"content"}


def test_the_original_second_example(site: Site) -> None:
    """What is of no known instrument is moved on unchanged, and can be filed from there later."""
    lparchive = site.root / "lparchive"
    lparchive.mkdir()
    mine = site.arrive(b"mine", instrument="wyatt")
    known = site.arrive(b"known", instrument="megacam")
    other = site.arrive(b"other", instrument="newcam", name="other.fits", path="/data/2003.0401/other.fits")
    controls = {name: data for name, data in site.arrivals().items() if name.endswith(".cf")}
    assert site.run("-f", str(site.incoming), "-A", "-n", "wyatt", "-d", str(lparchive)) == SILENT_SUCCESS
    wire = wire_of(other)
    assert contents(lparchive, without="xferlogs") == {
        f"2003.0401/{wire}": b"other",
        f"2003.0401/{wire.control}": controls[str(wire.control)],
    }
    assert {name.split(".")[1] for name in site.arrivals()} == {mine.id, known.id}
    assert [line.outcome for line in site.lines(logs=lparchive / "xferlogs")] == ["swept"]

    assert site.run("-i", "newcam", "-d", str(site.archive), "-f", str(lparchive)) == SILENT_SUCCESS
    assert site.archived() == {"2003.0401/other.fits": b"other"}
    assert contents(lparchive / "2003.0401") == {}
    assert site.outcomes() == ["filed"]


def test_the_original_third_example(site: Site, monkeypatch) -> None:
    """Without dates, and with one log file that is named from root."""
    monkeypatch.setenv("HOME", str(site.root))
    home = site.root
    (home / "lparchive").mkdir()
    control = site.arrive(instrument="wyatt")
    words = ["-i", "wyatt", "+D", "-d", f"{home}/lparchive", "-l", f"{home}/lplogs", "-f", str(site.incoming)]
    assert site.run(*words) == SILENT_SUCCESS
    assert contents(home / "lparchive") == {"img0001.fits": b"content"}
    assert [line.outcome for line in site.lines(logs=home / "lplogs")] == ["filed"]
    (home / "lparchive" / "img0001.fits").unlink()
    site.leave(control, b"content", attempt=2)
    assert site.run(*words) == SILENT_SUCCESS
    assert [line.outcome for line in site.lines(logs=home / "lplogs")] == ["filed", "duplicate"]


def test_swept_files_keep_what_the_clocks_said(site: Site) -> None:
    """The control file's time of arrival travels with it: the night is corrected by it even months later."""
    lparchive = site.root / "lparchive"
    lparchive.mkdir()
    control = site.arrive(instrument="newcam")
    arrived = 1_795_144_456_000_000_000
    os.utime(site.incoming / str(wire_of(control).control), ns=(arrived, arrived))
    site.run("-A", "-f", str(site.incoming), "-d", str(lparchive))
    (moved,) = lparchive.glob("*/*.cf")
    assert moved.stat().st_mtime_ns == arrived


@pytest.mark.parametrize(
    ("words", "archived"),
    [
        ([], f"{NIGHT}/img0001.fits"),
        (["-D"], f"{NIGHT}/img0001.fits"),
        (["+D"], "img0001.fits"),
        (["-D", "+D"], "img0001.fits"),
        (["+D", "-D"], f"{NIGHT}/img0001.fits"),
        (["-o", "dir=calib/bias"], "calib/bias/img0001.fits"),
        (["-o", "dir=calib", "+D"], "calib/img0001.fits"),
        (["-o", "DIR=one,dir=two"], "two/img0001.fits"),
        (["-o", "dir=one", "-o", "dir=two"], "two/img0001.fits"),
    ],
)
def test_where_files_go_can_be_said(site: Site, words: list[str], archived: str) -> None:
    site.arrive()
    assert site.sweep("-i", "minicam", *words) == SILENT_SUCCESS
    assert list(site.archived()) == [archived]


def test_dir_on_the_command_line_comes_before_the_senders(site: Site) -> None:
    site.arrive(options={"dir": "theirs"})
    site.arrive(options={"dir": "../theirs"})
    assert site.sweep("-i", "minicam", "-o", "dir=ours") == SILENT_SUCCESS
    assert list(site.archived()) == ["ours/img0001.fits"]


@pytest.mark.parametrize(
    ("words", "log"),
    [
        ([], f"archive/xferlogs/{DAILY_LOG}"),
        (["-L", "logs"], f"logs/{DAILY_LOG}"),
        (["-L", "/ROOT/logs"], f"logs/{DAILY_LOG}"),
        (["-l", "mine.log"], "archive/xferlogs/mine.log"),
        (["-l", "deeper/mine.log", "-L", "logs"], "logs/deeper/mine.log"),
        (["-l", "/ROOT/mine.log", "-L", "logs"], "mine.log"),
        (["-L", "one", "-L", "two", "-l", "a", "-l", "b"], "two/b"),
    ],
)
def test_where_the_log_goes_can_be_said(site: Site, monkeypatch, words: list[str], log: str) -> None:
    monkeypatch.chdir(site.root)
    site.arrive()
    begun = time.gmtime()
    assert site.sweep("-i", "minicam", *(word.replace("/ROOT", str(site.root)) for word in words)) == SILENT_SUCCESS
    logs = {site.root / time.strftime(log, when) for when in (begun, time.gmtime())}  # midnight may lie between
    assert [line.outcome for path in logs if path.exists() for line in site.lines(logs=path)] == ["filed"]


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        ([], {"newcam"}),
        (["-n", "newcam"], set()),
        (["-n", "other,newcam"], set()),
        (["-n", "other newcam"], set()),
        (["-n", "other", "-n", "newcam"], set()),
        (["+n", "newcam"], {"megacam"}),
        (["+n", "newcam", "-n", "megacam"], set()),
        (["-n", "megacam", "+n", "newcam"], set()),
        (["+n", "one", "+n", "newcam"], {"megacam"}),
        (["+n", ""], {"newcam", "megacam"}),
    ],
)
def test_what_any_leaves_alone_can_be_said(site: Site, words: list[str], swept: set[str]) -> None:
    """Configured instruments are left alone whatever is said."""
    site.configuration.write_text('[instrument.ownedcam]\naliases = ["owned"]\n')
    for instrument in ("newcam", "megacam", "ownedcam", "owned"):
        site.arrive(instrument=instrument)
    assert site.sweep("-A", *words) == SILENT_SUCCESS
    assert {path.partition("/")[2].split(".")[0] for path in site.archived()} == swept


def test_any_verifies_what_it_moves_on(site: Site) -> None:
    bad = control_file(b"content", instrument="newcam")
    site.leave(bad, b"cOntent")
    result = site.sweep("-A")
    assert result.status == 3
    assert f"{wire_of(bad)} rejected: the checksum is sha256:" in result.errors
    assert (site.archived(), site.outcomes()) == ({}, ["rejected"])


def test_any_puts_the_data_there_before_the_control_file_that_tells_of_them(site: Site, monkeypatch) -> None:
    published = []
    real = durable.rename_new

    def noting(source, target, **directories) -> None:
        real(source, target, **directories)
        published.append(target)

    monkeypatch.setattr(durable, "rename_new", noting)
    wire = wire_of(site.arrive(instrument="newcam"))
    assert site.sweep("-A") == SILENT_SUCCESS
    assert [name for name in published if name in {str(wire), str(wire.control)}] == [str(wire), str(wire.control)]


def test_any_leaves_dir_to_whoever_files_it_later(site: Site) -> None:
    lparchive = site.root / "lparchive"
    lparchive.mkdir()
    wire = wire_of(site.arrive(instrument="newcam", options={"dir": "calib"}))
    assert site.run("-A", "-f", str(site.incoming), "-d", str(lparchive)) == SILENT_SUCCESS
    assert (lparchive / NIGHT / str(wire)).exists()
    assert site.run("-i", "newcam", "-f", str(lparchive), "-d", str(site.archive)) == SILENT_SUCCESS
    assert list(site.archived()) == ["calib/img0001.fits"]


def test_any_removes_what_earlier_tries_of_a_file_that_it_moved_on_have_left(site: Site) -> None:
    control = control_file(b"content", instrument="newcam")
    site.leave(control, b"content", attempt=3)
    assert site.sweep("-A") == SILENT_SUCCESS
    part, data = site.incoming / wire_of(control).part, site.incoming / str(wire_of(control, 2))
    for path in (part, data):
        path.write_bytes(b"cont")
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert site.sweep("-A") == SILENT_SUCCESS
    assert not part.exists()
    assert not data.exists()
    assert site.outcomes() == ["swept", "superseded"]
    assert site.lines()[-1].facts["reason"] == "its id was swept"


def test_any_needs_no_directory_where_one_is_configured(site: Site) -> None:
    site.configuration.write_text(f'[sweeper]\nincoming = "{site.incoming}"\nany_directory = "{site.archive}"\n')
    site.arrive(instrument="newcam")
    assert site.run("-A") == SILENT_SUCCESS
    assert len(site.archived()) == 2


def test_any_does_not_sweep_its_own_directory(site: Site) -> None:
    result = site.run("-A", "-f", str(site.archive), "-d", str(site.archive))
    assert result.status == 2
    assert "cannot be the incoming directory itself" in result.errors


def test_an_instrument_needs_no_directory_where_one_is_configured(site: Site) -> None:
    site.configuration.write_text(
        f'[sweeper]\nincoming = "{site.incoming}"\n'
        f'[instrument.minicam]\ndirectory = "{site.archive}"\nlogs = "{site.root}/logs"\naliases = ["mini"]\n'
        'zone = "MST"\nrollover = "12:00"\nmode = "0440"\n'
    )
    site.arrive(instrument="mini")
    site.arrive(instrument="minicam", name="other.fits")
    assert site.run("-i", "mini") == SILENT_SUCCESS
    assert list(site.archived()) == ["2026.1119/img0001.fits", "2026.1119/other.fits"]
    assert (site.archive / "2026.1119" / "img0001.fits").stat().st_mode & 0o7777 == 0o440
    assert [line.facts["instrument"] for line in site.lines(logs=site.root / "logs")] == ["minicam", "minicam"]


WRONG = {
    "nothing at all": ([], 2, "say which instrument to sweep with -i INST, or --configured"),
    "both": (["-A", "-i", "minicam", "-d", "/ROOT/archive"], 2, "say which instrument"),
    "no directory": (["-i", "minicam"], 2, "no archive directory: give it with -d DIR, or set [instrument.minicam]"),
    "no directory for -A": (["-A"], 2, "no archive directory: give it with -d DIR, or set [sweeper] any_directory"),
    "a wrong name": (["-i", "all", "-d", "/ROOT/archive"], 2, "not an instrument's name: 'all'"),
    "no incoming directory": (["-i", "minicam", "-d", "/ROOT/archive"], 78, "no incoming directory: give it with -f"),
    "a missing incoming directory": (
        ["-i", "minicam", "-d", "/ROOT/archive", "-f", "/ROOT/none"],
        66,
        "cannot open the incoming directory /ROOT/none: No such file or directory: see that it is there",
    ),
    "a missing archive": (
        ["-i", "minicam", "-d", "/ROOT/none", "-f", "/ROOT/incoming"],
        73,
        "/ROOT/none does not exist: mount it, or make it with mkdir -p /ROOT/none",
    ),
    "a climbing dir": (
        ["-i", "minicam", "-d", "/ROOT/archive", "-o", "dir=../x"],
        2,
        "-o dir='../x': a component that begins with a dot",
    ),
    "another option": (["-i", "minicam", "-d", "/ROOT/archive", "-o", "maxftp=0"], 2, "-o maxftp: the sweeper knows"),
    "logs among the data": (
        ["-i", "minicam", "-d", "/ROOT/archive", "-f", "/ROOT/incoming", "-L", "/ROOT/archive"],
        2,
        "the log directory cannot be the archive",
    ),
    "logs among the arrivals": (
        ["-i", "minicam", "-d", "/ROOT/archive", "-f", "/ROOT/incoming", "-L", "/ROOT/incoming"],
        2,
        "the log directory cannot be the incoming directory",
    ),
    "no duration": (["-i", "minicam", "-d", "/ROOT/archive", "--stale", "soon"], 2, "--stale: not a duration"),
    "an unknown word": (["--frobnicate"], 2, "no such option"),
}


@pytest.mark.parametrize(("words", "status", "message"), WRONG.values(), ids=WRONG)
def test_wrong_words_are_told_in_one_line(site: Site, words: list[str], status: int, message: str) -> None:
    result = site.run(*(word.replace("/ROOT", str(site.root)) for word in words))
    assert result.status == status
    assert result.errors.startswith("sweeper: ")
    assert message.replace("/ROOT", str(site.root)) in result.errors
    assert result.errors.count("\n") == 1
    assert contents(site.root, without="state") == {"archq.toml": b""}


def test_a_configuration_with_a_mistake_is_told(site: Site) -> None:
    site.configuration.write_text("[sweeper]\nincomming = '/x'\n")
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert "did you mean incoming?" in result.errors


def test_an_unknown_zone_is_told(site: Site) -> None:
    site.configuration.write_text('[instrument.minicam]\nzone = "MTS"\n')
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert "[instrument.minicam] zone or dated: unknown time zone 'MTS'" in result.errors


def test_what_belongs_to_one_incoming_directory_is_not_used_for_another(site: Site, tmp_path: Path) -> None:
    site.configuration.write_text(
        f'[sweeper]\nincoming = "{tmp_path}"\nwork = "{tmp_path}/w"\nrejected = "{tmp_path}/r"\n'
    )
    site.leave(control_file(b"content"), b"conte")
    assert site.sweep("-i", "minicam").status == 3
    assert len(site.rejected()) == 3
    assert not (tmp_path / "w").exists()


def test_work_and_rejected_places_can_lie_elsewhere_on_the_filesystem(site: Site) -> None:
    site.configuration.write_text(
        f'[sweeper]\nincoming = "{site.incoming}"\nwork = "{site.root}/w"\nrejected = "{site.root}/r"\n'
    )
    site.arrive(b"good")
    site.leave(control_file(b"content"), b"conte")
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert f"; it is in {site.root}/r/{os.geteuid()}/minicam." in result.errors
    assert os.listdir(site.incoming) == []
    assert os.listdir(site.root / "w") == [str(os.geteuid())]
    assert len(contents(site.root / "r")) == 3


def test_what_any_finds_under_a_name_that_it_has_moved_before_is_never_replaced(site: Site) -> None:
    control = site.arrive(b"content", instrument="newcam")
    assert site.sweep("-A") == SILENT_SUCCESS
    before = site.archived()
    site.leave(control, b"content")
    assert site.sweep("-A") == SILENT_SUCCESS
    site.leave(replace(control_file(b"forged", instrument="newcam"), id=control.id), b"forged")
    result = site.sweep("-A")
    assert result.status == 3
    assert "exists with another content; it is in " in result.errors
    assert site.archived() == before
    assert site.outcomes() == ["swept", "duplicate", "rejected"]
    assert len(site.rejected()) == 3


def test_every_configured_instrument_is_swept_in_one_go(site: Site) -> None:
    other = site.root / "other"
    site.configuration.write_text(
        f'[sweeper]\nincoming = "{site.incoming}"\n'
        f'[instrument.minicam]\ndirectory = "{site.archive}"\n'
        f'[instrument.megacam]\ndirectory = "{other}"\n'
        "[instrument.without]\n"
    )
    for instrument in ("minicam", "megacam", "without"):
        site.arrive(instrument=instrument)
    result = site.run("--configured")
    assert result.status == 73
    assert result.errors == f"sweeper: megacam: {other} does not exist: mount it, or make it with mkdir -p {other}\n"
    assert len(site.archived()) == 1
    other.mkdir()
    assert site.run("--configured", "-v").errors == (
        "sweeper: minicam: nothing to do\n"
        f"sweeper: megacam: over after 0 s: {other} does not exist: mount it, or make it with mkdir -p {other}\n"
        "sweeper: megacam: 1 filed\n"
    )
    assert len(contents(other, without="xferlogs")) == 1
    assert len(site.arrivals()) == 2
