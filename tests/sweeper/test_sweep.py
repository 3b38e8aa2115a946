"""From an incoming directory to an archive and its log, one outcome after the other."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from archq.checksum import Checksum
from archq.control import format_control, seal
from archq.instants import SECOND
from archq.names import PROBE_INSTRUMENT
from sweeper.filing import LEFT_FREE
from tests.sweeper.arrivals import MTIME, SILENT_SUCCESS, Result, Site, control_file, wire_of

NIGHT = "2026.1120"  # of arrivals.QUEUED in UTC
LONG_AGO = time.time() - 2 * 86_400


def test_an_arrival_is_filed_whole_with_its_time_and_read_only(site: Site) -> None:
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {f"{NIGHT}/img0001.fits": b"content"}
    file = (site.archive / NIGHT / "img0001.fits").stat()
    assert (file.st_mtime_ns, file.st_mode & 0o7777, file.st_nlink) == (MTIME, 0o444, 1)
    assert site.arrivals() == {}


def test_the_log_tells_what_was_filed(site: Site) -> None:
    control = site.arrive(b"content", path="/data/x/img0001.fits", started=1_795_144_457_003_000_000, seconds=12.811)
    os.utime(site.incoming / str(wire_of(control).control), ns=(0, 1_795_144_469_900_000_000))
    site.sweep("-i", "minicam")
    (line,) = site.lines()
    assert line.outcome == "filed"
    assert list(line.facts.items()) == [
        ("instrument", "minicam"),
        ("request", "archive-17"),
        ("part", "1/1"),
        ("wire", f"minicam.{control.id}.1.df"),
        ("size", "7"),
        ("queued", "2026-11-20T03:14:16.102Z"),
        ("started", "2026-11-20T03:14:17.003Z"),
        ("seconds", "12.811"),
        ("tries", "1"),
        ("host", "packrat"),
        ("spool", "01jcz0000000000000000000aa"),
        ("path", f"{NIGHT}/img0001.fits"),
        ("checksum", str(control.checksum)),
    ]


def test_nothing_to_do_is_silent_success(site: Site) -> None:
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {}


def test_other_instruments_are_left_alone(site: Site) -> None:
    site.arrive(instrument="megacam")
    before = site.arrivals()
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.arrivals() == before


def test_the_same_content_under_the_same_name_is_a_duplicate(site: Site) -> None:
    site.arrive(b"content")
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {f"{NIGHT}/img0001.fits": b"content"}
    assert site.outcomes() == ["filed", "duplicate"]
    assert site.lines()[1].facts["with"] == f"{NIGHT}/img0001.fits"
    assert site.arrivals() == {}


@pytest.mark.parametrize("sweeps", [1, 3])
def test_other_content_under_the_same_name_is_kept_beside_it(site: Site, sweeps: int) -> None:
    """Whether they meet in one sweep or in several."""
    contents = (b"first", b"second", b"third")
    for content in contents:
        site.arrive(content)
        if sweeps > 1:
            site.sweep("-i", "minicam")
    site.sweep("-i", "minicam")
    assert sorted(site.archived()) == [f"{NIGHT}/{name}.fits" for name in ("img0001", "img0001~2", "img0001~3")]
    assert sorted(site.archived().values()) == sorted(contents)
    assert site.outcomes() == ["filed", "conflict", "conflict"]
    assert [line.facts.get("with") for line in site.lines()] == [None, *[f"{NIGHT}/img0001.fits"] * 2]


def test_a_name_taken_by_a_link_or_a_directory_is_a_conflict(site: Site) -> None:
    (site.archive / NIGHT / "img0001.fits").mkdir(parents=True)
    (site.archive / NIGHT / "img0001~2.fits").symlink_to("/etc/passwd")
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived()[f"{NIGHT}/img0001~3.fits"] == b"content"


def test_a_further_try_is_a_duplicate(site: Site) -> None:
    control = site.arrive(b"content")
    site.leave(control, b"content", attempt=2)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed", "duplicate"]
    assert site.lines()[1].facts["wire"] == str(wire_of(control, 2))
    assert site.arrivals() == {}


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_further_try_is_a_duplicate_even_when_the_file_has_moved_on(site: Site, attempt: int) -> None:
    """The first try may come after the second; and years of other lines lie between."""
    control = site.arrive(b"content", attempt=3 - attempt)
    site.sweep("-i", "minicam")
    (site.archive / NIGHT / "img0001.fits").unlink()
    [log] = site.logs.glob("*.tdcin.log")
    log.rename(site.logs / "19990101.tdcin.log")
    site.leave(control, b"content", attempt=attempt)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed", "duplicate"]
    assert site.archived() == {}


def test_the_logs_are_the_memory_without_their_index(site: Site) -> None:
    control = site.arrive(b"content")
    site.sweep("-i", "minicam")
    (site.archive / NIGHT / "img0001.fits").unlink()
    (site.logs / ".archq-index").write_bytes(b"no database" * 1000)
    site.leave(control, b"content", attempt=2)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed", "duplicate"]


def test_an_id_with_another_content_is_rejected(site: Site) -> None:
    control = site.arrive(b"content")
    site.sweep("-i", "minicam")
    other = replace(control_file(b"forged"), id=control.id)
    site.leave(other, b"forged", attempt=2)
    result = site.sweep("-i", "minicam")
    assert (result.status, site.outcomes()) == (3, ["filed", "rejected"])
    assert f"the id {control.id} was filed before with another content" in result.errors


def test_a_name_that_comes_again_after_it_was_filed_is_a_duplicate(site: Site) -> None:
    control = site.arrive(b"content")
    site.sweep("-i", "minicam")
    site.leave(control, b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed", "duplicate"]
    assert site.arrivals() == {}


REFUSED = {
    "truncated data": (b"content", b"conte", {}, "truncated: 5 bytes arrived, 7 were sent"),
    "data that are too long": (b"content", b"contents", {}, "too long: 8 bytes arrived, 7 were sent"),
    "a changed byte": (b"content", b"cOntent", {}, "the checksum is sha256:"),
    "a climbing dir": (b"content", b"content", {"options": {"dir": "../up"}}, "begins with a dot"),
    "an absolute dir": (b"content", b"content", {"options": {"dir": "/etc"}}, "absolute"),
    "a hidden dir": (b"content", b"content", {"options": {"dir": "a/.ssh"}}, "begins with a dot"),
    "the log directory": (b"content", b"content", {"options": {"dir": "xferlogs"}}, "not a place for data"),
    "below the log directory": (b"content", b"content", {"options": {"dir": "xferlogs/x"}}, "not a place for data"),
}


@pytest.mark.parametrize(("sent", "came", "facts", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_will_never_do_is_set_aside_with_its_reason(site: Site, sent, came, facts, reason: str) -> None:
    control = control_file(sent, **facts)
    site.leave(control, came)
    result = site.sweep("-i", "minicam")
    wire = wire_of(control)
    assert result.status == 3
    assert result.errors.startswith(f"sweeper: {wire} rejected: ")
    assert reason in result.errors
    assert result.errors.count("\n") == 1
    base = str(wire).removesuffix(".df")
    rejected = site.rejected()
    assert rejected.pop(f"{base}/reason").decode().strip() in result.errors
    assert rejected == {f"{base}/{wire}": came, f"{base}/{wire.control}": format_control(control)}
    (line,) = site.lines()
    assert (line.outcome, line.facts["wire"]) == ("rejected", str(wire))
    assert reason in line.facts["reason"]
    assert (site.archived(), site.arrivals()) == ({}, {})
    assert sorted(os.listdir(site.archive)) == ["xferlogs"]


def test_what_is_set_aside_replaces_nothing(site: Site) -> None:
    control = control_file(b"content")
    for _ in range(2):
        site.leave(control, b"conte")
        assert site.sweep("-i", "minicam").status == 3
    base = str(wire_of(control)).removesuffix(".df")
    assert {name.partition("/")[0] for name in site.rejected()} == {base, f"{base}~2"}
    assert site.outcomes() == ["rejected", "rejected"]


WRONG_CONTROL_FILES = {
    "a name with a leading dot": ("name=img0001.fits", "name=.bashrc", "leading dot"),
    "a name that is a path": ("name=img0001.fits", "name=a/b", "one component"),
    "another id": (None, None, "its name says"),
    "no check line that fits": ("check=sha256:", "check=sha256:0", "does not fit"),
}


@pytest.mark.parametrize(("old", "new", "reason"), WRONG_CONTROL_FILES.values(), ids=WRONG_CONTROL_FILES)
def test_a_wrong_control_file_is_set_aside(site: Site, old: str | None, new: str | None, reason: str) -> None:
    control = control_file(b"content")
    text = format_control(control if old else control_file(b"content"))
    if old and new:
        body = text.replace(old.encode(), new.encode())
        text = body if old.startswith("check") else seal(body[: body.index(b"check=")])
    site.leave(control, b"content", text=text)
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert reason in result.errors
    assert site.outcomes() == ["rejected"]
    assert len(site.rejected()) == 3


def test_a_control_file_that_is_still_being_written_waits(site: Site) -> None:
    control = control_file(b"content")
    text = format_control(control)
    site.leave(control, b"content", text=text[:-1])
    before = site.arrivals()
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.arrivals() == before
    site.leave(control, None)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"archq=1\n", b"archq=2\n", "version 2"),
        (b"checksum=sha256:", b"checksum=sha3:", "unknown checksum algorithm 'sha3'"),
        (b"tries=1\n", b"tries=1\nmust.decrypt=1\n", "must.decrypt"),
    ],
)
def test_what_a_newer_archq_may_understand_stays_and_is_told(site: Site, old: bytes, new: bytes, reason: str) -> None:
    control = control_file(b"content")
    body = format_control(control).replace(old, new)
    site.leave(control, b"content", text=seal(body[: body.index(b"check=")]))
    before = site.arrivals()
    for told in (True, False):  # the second time it is no news
        result = site.sweep("-i", "minicam")
        assert result.status == 75
        assert (reason in result.errors) is told
    assert site.arrivals() == before
    assert site.outcomes() == ["error"]


@pytest.mark.parametrize("missing", ["df", "cf"])
def test_half_an_arrival_waits(site: Site, missing: str) -> None:
    control = site.arrive(b"content")
    (site.incoming / f"{str(wire_of(control)).removesuffix('.df')}.{missing}").unlink()
    before = site.arrivals()
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.arrivals() == before
    assert not site.logs.exists() or site.lines() == []


@pytest.mark.parametrize("missing", ["df", "cf"])
def test_half_an_arrival_is_told_once_when_it_has_become_stale(site: Site, missing: str) -> None:
    control = site.arrive(b"content")
    base = str(wire_of(control)).removesuffix(".df")
    (site.incoming / f"{base}.{missing}").unlink()
    age(site)
    before = site.arrivals()
    result = site.sweep("-i", "minicam")
    assert result.status == 0
    assert result.errors == (
        f"sweeper: {base}.df is stale: no {'data' if missing == 'df' else 'control'} file for 2 d; "
        f"it stays in {site.incoming}\n"
    )
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.arrivals() == before
    assert site.outcomes() == ["stale"]


@pytest.mark.parametrize("kind", ["df", "cf"])
def test_an_upload_that_was_cut_off_is_told_once_and_may_still_come_to_its_end(site: Site, kind: str) -> None:
    control = control_file(b"content")
    data = wire_of(control)
    part = site.incoming / (data if kind == "df" else data.control).part
    part.write_bytes(b"cont")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    age(site)
    result = site.sweep("-i", "minicam")
    assert result.status == 0
    assert result.errors == (
        f"sweeper: {data} is stale: no more of its upload has come for 2 d; it stays in {site.incoming}\n"
    )
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    part.unlink()
    site.leave(control, b"content")
    site.sweep("-i", "minicam")
    assert site.outcomes() == ["stale", "filed"]


@pytest.mark.parametrize("kind", ["df", "cf"])
@pytest.mark.parametrize("attempt", [1, 2], ids=["the same try", "a later try"])
def test_an_upload_that_was_cut_off_goes_once_its_file_was_filed(site: Site, kind: str, attempt: int) -> None:
    control = control_file(b"content")
    cut, other = wire_of(control), wire_of(control_file(b"other"))
    for wire in (cut, other):
        (site.incoming / (wire if kind == "df" else wire.control).part).write_bytes(b"cont")
    age(site)
    assert "2 incomplete" in site.sweep("-i", "minicam", "-v").errors
    site.leave(control, b"content", attempt=attempt)
    assert "2 incomplete" not in site.sweep("-i", "minicam", "-v").errors
    assert [path.name for path in site.incoming.glob(".*.part")] == [(other if kind == "df" else other.control).part]
    told = site.sweep("-i", "minicam", "-v").errors
    assert f"1 incomplete in {site.incoming}, the oldest {other}: no more of its upload has come for 2 d" in told
    assert site.outcomes() == ["stale", "stale", "filed"]


def test_an_upload_that_may_still_go_on_stays_though_its_file_was_filed(site: Site) -> None:
    control = control_file(b"content")
    part = site.incoming / wire_of(control).part
    part.write_bytes(b"cont")
    site.leave(control, b"content", attempt=2)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert (site.outcomes(), part.read_bytes()) == (["filed"], b"cont")
    age(site)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert (site.outcomes(), part.exists()) == (["filed"], False)


def test_an_upload_that_was_cut_off_stays_while_only_a_part_of_a_later_try_has_come(site: Site) -> None:
    control = control_file(b"content")
    part = site.incoming / wire_of(control).part
    part.write_bytes(b"conten")
    (site.incoming / str(wire_of(control, 2))).write_bytes(b"con")
    age(site)
    assert "2 incomplete" in site.sweep("-i", "minicam", "-v").errors
    assert part.read_bytes() == b"conten"


def test_what_cannot_be_removed_stays_told(site: Site) -> None:
    control = site.arrive(b"content")
    site.sweep("-i", "minicam")
    (site.incoming / wire_of(control, 2).part).mkdir()
    age(site)
    told = f"{wire_of(control, 2)} is stale: no more of its upload has come for 2 d; it stays in {site.incoming}\n"
    assert site.sweep("-i", "minicam").errors == f"sweeper: {told}"
    assert site.outcomes() == ["filed", "stale"]


def test_how_soon_something_is_stale_can_be_said(site: Site) -> None:
    control = site.arrive(b"content")
    (site.incoming / str(wire_of(control).control)).unlink()
    age(site)
    assert site.sweep("-i", "minicam", "--stale", "3d") == SILENT_SUCCESS
    assert "stale" in site.sweep("-i", "minicam", "--stale", "1h").errors


@pytest.mark.parametrize("rested", [False, True])
@pytest.mark.parametrize("filed", [False, True])
def test_data_without_control_go_when_another_try_has_replaced_them(site: Site, rested: bool, filed: bool) -> None:
    control = control_file(b"content")
    site.leave(control, b"cont")
    (site.incoming / str(wire_of(control).control)).unlink()
    if rested:
        age(site)
    if filed:
        site.leave(control, b"content", attempt=2)
    else:
        (site.incoming / str(wire_of(control, 2))).write_bytes(b"conten")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert (str(wire_of(control)) in site.arrivals()) is not rested
    assert site.outcomes() == ["filed"] * filed + ["superseded"] * rested


def age(site: Site) -> None:
    for path in site.incoming.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_upload_names_and_foreign_files_are_ignored(site: Site) -> None:
    control = control_file(b"content")
    (site.incoming / "README").write_bytes(b"read me")
    age(site)
    (site.incoming / wire_of(control).part).write_bytes(b"conte")
    before = site.arrivals()
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.arrivals() == before


def test_probes_are_discarded_without_a_word(site: Site) -> None:
    site.arrive(b"probe", instrument=PROBE_INSTRUMENT)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert (site.arrivals(), site.archived(), site.lines()) == ({}, {}, [])


def test_a_full_disk_leaves_the_arrivals_and_the_next_run_goes_on(site: Site, monkeypatch) -> None:
    site.arrive(b"content", name="small.fits")
    site.arrive(b"c" * 5000, name="large.fits")
    before = site.arrivals()
    monkeypatch.setattr("sweeper.filing.free_space", lambda _directory: LEFT_FREE + 100)
    monkeypatch.setattr("sweeper.filing.Filer._is_near", lambda *_: False)  # on another disk
    result = site.sweep("-i", "minicam")
    assert result.status == 74
    assert "sweeper: archive disk full: " in result.errors
    assert f"make room in {site.archive}" in result.errors
    assert set(site.arrivals().items()) <= set(before.items())
    assert b"c" * 5000 in site.arrivals().values()
    monkeypatch.undo()
    over = Result(status=0, errors=f"sweeper: over after 0 s: archive disk full: {site.archive}\n")
    assert site.sweep("-i", "minicam") == over
    assert sorted(site.archived()) == [f"{NIGHT}/large.fits", f"{NIGHT}/small.fits"]


def test_nothing_is_left_in_the_work_place(site: Site) -> None:
    site.arrive(b"content")
    site.leave(control_file(b"content"), b"conte")
    site.sweep("-i", "minicam")
    assert site.claims() == []


def test_many_arrivals_are_filed_in_batches(site: Site, monkeypatch) -> None:
    monkeypatch.setattr("sweeper.round.BATCH_FILES", 10)
    for number in range(25):
        site.arrive(b"%d" % number, name=f"img{number}.fits")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {f"{NIGHT}/img{number}.fits": b"%d" % number for number in range(25)}
    assert len(site.lines()) == 25


@pytest.mark.parametrize(
    "name", ["a b.fits", "-rf", "ü.fits", "\udcff\udcfe", "new\nline", "\x1b[2J", "a%41", "x" * 255]
)
def test_any_name_survives(site: Site, name: str) -> None:
    site.arrive(b"content", name=name)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert os.listdir(site.archive / NIGHT) == [name]
    assert site.lines()[0].facts["path"] == f"{NIGHT}/{name}"


def test_a_sender_whose_clock_is_wrong_gets_the_right_night(site: Site) -> None:
    slow = 3 * 86_400 * SECOND
    now = time.time_ns()
    control = site.arrive(b"content", queued=now - slow, started=now - slow - 2 * SECOND, seconds=2.0)
    result = site.sweep("-i", "minicam")
    assert result.status == 0
    assert (
        result.errors == "sweeper: the clock of packrat is 3 d behind: the nights of its files are corrected for it\n"
    )
    (line,) = site.lines()
    assert line.facts["path"] == time.strftime("%Y.%m%d/", time.gmtime(now / SECOND)) + control.name
    assert float(line.facts["skew"]) == pytest.approx(3 * 86_400, abs=60)
    assert line.facts["arrived"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(now / SECOND)))


def test_a_dry_run_tells_and_touches_nothing(site: Site) -> None:
    good, bad = site.arrive(b"content"), control_file(b"content")
    site.leave(bad, b"conte")
    site.arrive(b"other")
    before = site.arrivals()
    result = site.sweep("-i", "minicam", "--dry-run")
    assert result.status == 0
    assert f"{wire_of(good)}: would be filed as {site.archive}/{NIGHT}/img0001.fits\n" in result.output
    assert f"{wire_of(bad)}: would be rejected: truncated: 5 bytes arrived, 7 were sent\n" in result.output
    assert f"would be kept as {site.archive}/{NIGHT}/img0001~2.fits, beside {NIGHT}/img0001.fits" in result.output
    assert (site.arrivals(), os.listdir(site.archive)) == (before, [])
    assert set(os.listdir(site.incoming)) == set(before)


def test_other_checksums_are_verified_as_well(site: Site) -> None:
    site.arrive(b"content", checksum=Checksum("md5", "9a0364b9e99bb480dd25e1f0284c8555"))
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]
