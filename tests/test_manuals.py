"""The manual says what the code knows: a key, an outcome or an exit status that it leaves out fails here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from dataclasses import fields
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import logsum.commands
import sweeper.cli
from archq import config, control, options, spool, status, transferlog
from archq.commands import cli
from archq.errors import ExitStatus
from archq.lpfamily import cancel, lp, lpmove, lpstat
from archq.lpfamily.scanner import LONG_OPTIONS
from archq.shipping import queues as shipping
from archq.shipping import schedule, shipper
from archq.spool.queuestate import QueuePhase, QueueState
from archq.spool.wakeup import Wakeup
from logsum.figures import FIGURES, figures
from logsum.period import Period
from logsum.render.data import as_json
from logsum.render.style import Style
from logsum.report import Report
from logsum.tally import Tally
from sweeper import leftovers, owner, watch
from sweeper.sweep import WORTH_A_PROCESS
from tests.archq.instrument import Instrument
from tests.faults import summary, techniques
from tests.tools import tool

if TYPE_CHECKING:
    from types import ModuleType

MANUALS = Path(__file__).parents[1] / "man"
ALIAS = re.compile(r"\.so man([1-9])/(\S+)\n")  # a page of one line, for another name of a program (man(7))
FILES = sorted(MANUALS.glob("*.[1-9]"))
PAGES = [path for path in FILES if not ALIAS.fullmatch(path.read_text())]

SECTIONS = {
    "Keys before any section": config.TOP_KEYS,
    "[queue.NAME]": config.QUEUE_KEYS,
    "[instrument.NAME]": config.INSTRUMENT_KEYS,
    "[sweeper]": config.SWEEPER_KEYS,
    "[logsum]": config.LOGSUM_KEYS,
    "[lp]": config.LP_KEYS,
}


def page(name: str) -> str:
    return (MANUALS / name).read_text()


def section(text: str, title: str) -> str:
    """Return what stands under the heading ``title``, up to the next one."""
    found = re.search(rf"(?ms)^\.S[hs] {re.escape(title)}$(.*?)(?=^\.S[hs] |\Z)", text)
    assert found, f"no section {title}"
    return found[1]


def items(text: str) -> dict[str, str]:
    """Return the items of the lists in ``text``: the word that is explained, and how."""
    parts = re.split(r"(?m)^\.It Ic (\S+).*\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("title", SECTIONS)
def test_every_configuration_key_is_documented_and_no_other(title: str) -> None:
    assert set(items(section(page("archq.toml.5"), title))) == set(SECTIONS[title])


@pytest.mark.parametrize("title", SECTIONS)
def test_every_configuration_key_tells_its_form_and_its_default(title: str) -> None:
    text = section(page("archq.toml.5"), title)
    forms = dict(re.findall(r"(?m)^\.It Ic (\S+) No = Ar (\S+)$", text))
    known = set(re.findall(r"(?m)^\.It Ar (\S+)$", section(page("archq.toml.5"), "Forms of values")))
    for key, words in items(text).items():
        assert forms.get(key) in known, key
        assert re.search(r"(?m)[Dd]efault:", words), key


def test_every_section_of_the_configuration_is_documented() -> None:
    documented = {title.strip("[]").partition(".")[0] for title in SECTIONS if title.startswith("[")}
    assert documented == set(config.SECTIONS)


def test_every_key_of_a_control_file_is_documented_and_no_other() -> None:
    documented = items(section(page("archq-control.5"), "Keys"))
    prefixes = {control.OPTION.rstrip("."), control.MUST.rstrip(".")}
    assert set(documented) == {*control.REQUIRED, *control.OPTIONAL, *prefixes, control.SIGNATURE, "check"}
    for prefix in prefixes:
        assert f".It Ic {prefix} . Ns Ar " in page("archq-control.5")
    required = {key for key, words in documented.items() if "Required." in words}
    assert required == {*control.REQUIRED, "check"}


def test_the_control_file_that_the_page_shows_is_one() -> None:
    shown = section(page("archq-control.5"), "EXAMPLES").partition(".Bd -literal\n")[2].partition(".Ed\n")[0]
    assert set(control.parse_control(shown.encode()).options) == {"maxftp", "observer"}


def test_every_outcome_is_documented_and_no_other() -> None:
    final, passing = section(page("archq-transfer-log.5"), "Outcomes").split("Other outcomes")
    assert set(items(final)) == transferlog.FINAL
    assert set(items(passing)) == transferlog.PASSING


def test_every_fact_about_a_file_is_documented() -> None:
    whole = section(page("archq-control.5"), "EXAMPLES").partition(".Bd -literal\n")[2].partition(".Ed\n")[0]
    facts = transferlog.facts_of(control.parse_control(whole.encode()))
    assert set(facts) <= set(items(section(page("archq-transfer-log.5"), "Facts")))


def test_the_line_that_the_page_shows_is_one() -> None:
    shown = section(page("archq-transfer-log.5"), "EXAMPLES").partition("-offset indent\n")[2].partition("\n.Ed\n")[0]
    outcome = transferlog.parse_outcome(shown.replace("\n", " ").encode() + b"\n")
    documented = items(section(page("archq-transfer-log.5"), "Facts"))
    assert [key for key in documented if key in outcome.facts] == list(outcome.facts)


def test_every_exit_status_is_documented_and_no_other() -> None:
    never = {"sweeper.8": {ExitStatus.MALFORMED, ExitStatus.REFUSED}}  # no input of a user, no destination
    for path in PAGES:
        if path.name in {"archq.1", "sweeper.8", "logsum.1"}:
            statuses = re.findall(r"(?m)^\.It (?:\S+ )?(\d+)$", section(path.read_text(), "EXIT STATUS"))
            assert set(map(int, statuses)) <= {*ExitStatus}, path.name
            assert path.name == "logsum.1" or set(map(int, statuses)) == {*ExitStatus} - never.get(path.name, set())


def flags(command: click.Command) -> set[str]:
    """Return the options of a command that its users may know, as the manual writes them."""
    shown = [parameter for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden]
    return {name.removeprefix("-") for option in shown for name in option.opts}


def synopsis_flags(verb: str) -> set[str]:
    uses = re.findall(rf"(?ms)^\.Cm {verb}$(.*?)(?=^\.Nm|\Z)", section(page("archq.1"), "SYNOPSIS"))
    words = re.findall(r"Fl (\S+)", "".join(uses))
    return {flag for word in words for flag in ([word] if word.startswith("-") else word)}


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_command_is_documented_with_its_options_and_no_other(verb: str) -> None:
    text = section(page("archq.1"), verb)
    if f".Xr archq-{verb} 1" in text:
        text = page(f"archq-{verb}.1")
    assert set(re.findall(r"(?m)^\.It Fl (\S+)", text)) == flags(cli.commands[verb])
    assert synopsis_flags(verb) == flags(cli.commands[verb])


def test_every_option_of_the_sweeper_is_documented_and_no_other() -> None:
    command = sweeper.cli.command
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    text = "".join(section(page("sweeper.8"), title) for title in ("What is swept", "Where it goes", "How it is done"))
    described = re.findall(r"(?m)^\.It (?:Fl |Cm )(\S+)(?: , (\S+))?", text)
    shown = {("" if word.startswith("+") else "-") + word for words in described for word in words if word}
    assert shown == known


OF_LOGSUM = ("What is reported", "The period", "How it is told")


def test_every_option_of_logsum_is_documented_and_no_other() -> None:
    command = logsum.commands.command
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    lines = re.findall(r"(?m)^\.It (.*)$", "".join(section(page("logsum.1"), title) for title in OF_LOGSUM))
    words = re.findall(r"(Fl |Cm )([-+\w]+)", "\n".join(lines))
    choices = {str(choice) for option in command.params for choice in getattr(option.type, "choices", ())} | {"all"}
    shown = {("-" if macro == "Fl " else "") + word for macro, word in words}
    assert shown - choices == known


def test_the_synopsis_of_logsum_has_its_options_and_no_other() -> None:
    command = logsum.commands.command
    shortest = {min(option.opts, key=len) for option in command.params} | {"+v"}
    words = re.findall(r"(Fl |Cm )([-+\w]+)", section(page("logsum.1"), "SYNOPSIS"))
    shown = {("-" if macro == "Fl " else "") + word for macro, word in words if macro == "Fl " or word[0] == "+"}
    assert shown == shortest - {"--version"}


def test_every_choice_that_logsum_gives_is_documented() -> None:
    text = page("logsum.1")
    for option in logsum.commands.command.params:
        for choice in getattr(option.type, "choices", ()):
            assert re.search(rf"(?m)^(?:\.Cm|\.It.* Cm .*\|?) ?{choice}\b|Cm .*\b{choice}\b", text), choice


def test_every_figure_of_logsum_is_documented_in_the_order_of_its_columns() -> None:
    columns = section(page("logsum.1"), "Data").partition("\nJSON is one object")[0]
    assert re.findall(r"(?m)^\.It Ic (\S+)$", columns) == [figure.name for figure in FIGURES]


def test_every_member_of_logsum_s_json_is_documented_and_no_other() -> None:
    tallies = {"minicam": Tally(), "all": Tally()}
    report = Report(period=Period(start=0, end=1, zone=UTC), now=0, sections=tallies, tables={"night": {}})
    document = json.loads(as_json(report, Style(by="night"), []))
    whole, of_a_section = (
        section(page("logsum.1"), "Data").partition("\nJSON is one object")[2].split("\nA section has")
    )
    assert list(items(whole)) == list(document)
    assert list(items(of_a_section)) == [
        name for name in document["total"] if name not in {"instrument", *figures(Tally())}
    ]
    assert f"Its shape is version {document['version']};" in whole


def test_the_report_that_the_page_shows_is_the_original_s() -> None:
    sample = (MANUALS.parent / "tests" / "golden" / "logsum-sample.txt").read_text()
    assert sample in section(page("logsum.1"), "EXAMPLES")


def test_every_example_of_logsum_is_a_call_that_it_takes() -> None:
    calls = re.findall(
        r"(?m)^(?:\.Dl )?(?:\$ |\S+ \* .* \* )?(?:lp)?logsum ([^|>\n]*)", section(page("logsum.1"), "EXAMPLES")
    )
    assert len(calls) >= 11
    for words in calls:
        logsum.commands.command.make_context("logsum", shlex.split(words.partition(" ||")[0].replace(r"\(aq", "'")))


def test_the_sweepers_page_tells_its_limits() -> None:
    told = " ".join(page("sweeper.8").split())
    assert f"one for each {WORTH_A_PROCESS} arrivals" in told
    assert f"every {watch.SWEEP:.0f} seconds" in told.replace("every ten seconds", "every 10 seconds")
    assert f"removed after {leftovers.RESTING / 60:.0f} minutes" in told.replace("after ten", "after 10")
    assert f"sign of life for {owner.DEAD_AFTER / 60:.0f} minutes" in told.replace("for ten", "for 10")


def test_every_outcome_of_a_sweep_is_documented_and_no_other() -> None:
    final, passing = section(page("sweeper.8"), "Outcomes").split("It has not come to that")
    assert set(items(final)) == transferlog.FINAL
    assert set(items(passing)) == transferlog.PASSING


@pytest.mark.parametrize("program", [lp, lpstat, cancel, lpmove], ids=lambda program: program.__name__)
def test_every_letter_of_the_lp_family_is_documented_and_no_other(program: ModuleType) -> None:
    text = page(f"archq-{program.__name__.rpartition('.')[2]}.1")
    told = re.findall(r"(?m)^\.It (Fl .*)$", text) + re.findall(r"(?m)^\.(Fl \w)\nis the same\.$", text)
    letters = {letter for line in told for letter in re.findall(r"(?:Fl|,) ([A-Za-z])\b", line)}
    known = program.FLAGS
    assert letters == {*known.plain, *known.valued, *known.listed}
    assert {f"--{name}" for line in told for name in re.findall(r"Fl -(\w+)", line)} == {*LONG_OPTIONS}


def test_every_keyword_is_documented_and_no_other() -> None:
    documented = set(items(section(page("archq.1"), "Keywords")))
    assert documented == options.KEYWORDS


def test_every_state_of_a_request_is_documented_and_no_other() -> None:
    described = section(page("archq.1"), "DESCRIPTION")
    states = {*spool.STATES, *QueuePhase, "held"} - {QueuePhase.WORKING}
    assert set(items(described)) == states


def test_every_member_of_the_json_is_documented_and_no_other() -> None:
    queue, request, file = section(page("archq.1"), "JSON").split("\n.Pp\nA ")[1:]
    kinds = {queue: status.QueueStatus, request: status.RequestStatus, file: status.FileStatus}
    for text, kind in kinds.items():
        assert list(items(text)) == [field.name for field in fields(kind)]


def paths(text: str) -> set[str]:
    return set(re.findall(r"(?m)^\.It Pa (\S+)$", text))


def test_everything_in_a_spool_is_documented_and_no_other(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    request, kept = instrument.submit(), instrument.spool
    instrument.archq("ship")
    kept.hold_queue("archive", "fog")
    kept.record_account("archive", "file:/x", "full")
    kept.record_queue("archive", QueueState())
    Wakeup(kept, "archive").close()
    names = [set(os.listdir(kept.place(*place))) for place in ((), (spool.SENT, str(request)), ("queues", "archive"))]
    directories = {name for name in names[0] if Path(kept.place(name)).is_dir()}
    assert paths(section(page("archq-spool.7"), "Directories")) == {f"{name}/" for name in directories}
    assert paths(section(page("archq-spool.7"), "Files")) == set().union(*names) - directories


def test_every_wait_is_as_long_as_the_manual_says() -> None:
    told = re.findall(r"(?m)^\.It (.*) Ta (\d+) s$", section(page("archq-spool.7"), "Errors and waits"))
    assert {what: float(seconds) for what, seconds in told} == {
        "after the first error of a file": schedule.FILE_FIRST_WAIT,
        "the longest of a file": schedule.FILE_LONGEST_WAIT,
        "after the first error of a queue": schedule.QUEUE_FIRST_WAIT,
        "the longest between two probes of a waiting queue": schedule.QUEUE_LONGEST_WAIT,
        "between two probes of a blocked queue": schedule.BLOCKED_WAIT,
        "of a request whose own destination refuses it": schedule.BLOCKED_WAIT,
        "between two looks of a shipper at the whole spool": shipper.RESCAN_EVERY,
        "until a shipper that was started on demand ends without work": shipping.ON_DEMAND_IDLE,
    }
    assert "up to a fifth" in page("archq-spool.7")
    assert schedule.JITTER == 1 / 5


def test_every_technique_of_the_fault_programme_is_told_with_what_it_came_to() -> None:
    tried = items(section(page("archq-durability.7"), "Techniques"))
    assert list(tried) == list(techniques.ALL), "python -m tests.faults.summary writes this section"
    for name, words in tried.items():
        assert words.startswith(summary.told(techniques.ALL[name].__doc__ or "")), name
        assert re.findall("[0-9]+ violations", words) in ([], ["0 violations"]), name


def test_every_page_is_installed_where_man_looks_for_it() -> None:
    project = tomllib.loads((MANUALS.parent / "pyproject.toml").read_text())
    installed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert installed == {f"man/{page.name}": f"share/man/man{page.suffix[1:]}/{page.name}" for page in FILES}


def test_a_page_for_another_name_leads_to_the_program_of_that_name() -> None:
    project = tomllib.loads((MANUALS.parent / "pyproject.toml").read_text())
    scripts = project["project"]["scripts"]
    for path in FILES:
        if alias := ALIAS.fullmatch(path.read_text()):
            other = MANUALS / alias[2]
            assert alias[1] == other.suffix[1:] == path.suffix[1:]
            if path.stem.removeprefix("archq-") not in cli.commands:
                assert f".Nm {path.stem}\n" in section(other.read_text(), "NAME")
                assert scripts[path.stem] == scripts[other.stem]
    assert {MANUALS / "lpsweeper.8", MANUALS / "lplogsum.1"} <= {*FILES}


def test_every_program_and_every_command_has_a_page_of_its_name() -> None:
    scripts = tomllib.loads((MANUALS.parent / "pyproject.toml").read_text())["project"]["scripts"]
    wanted = set(scripts) | {f"archq-{verb}" for verb in cli.commands}
    assert wanted <= {path.stem for path in FILES}


# What a reader looks for first, in the order that mdoc(7) wants; of a program, and of a format or a directory.
OF_A_PROGRAM = ["ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO", "CAVEATS"]
OF_A_FORMAT = ["FILES", "EXAMPLES", "SEE ALSO", "CAVEATS"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_the_sections_that_a_page_of_its_kind_should_have(path: Path) -> None:
    headings = re.findall(r"(?m)^\.Sh (.+)$", path.read_text())
    wanted = OF_A_PROGRAM if path.suffix in {".1", ".8"} else OF_A_FORMAT
    assert [heading for heading in headings if heading in wanted] == wanted


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_called_what_it_says(path: Path) -> None:
    title = f"{path.stem.upper()} {path.suffix[1:]}"
    assert re.search(rf"(?m)^\.Dt {re.escape(title)}$", path.read_text())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_mandoc_finds_nothing_to_complain_about(path: Path) -> None:
    complaints = subprocess.run(
        [tool("mandoc"), "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False
    )
    assert complaints.stdout + complaints.stderr == ""
