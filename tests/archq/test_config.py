"""The configuration says what it means, or says where it does not."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from archq import config
from archq.config import Config, load
from archq.errors import ConfigurationError, ExitStatus

EXAMPLE = Path(__file__).parents[2] / "examples" / "archq.toml"
ALL = ("archq", "instrument", "sweeper", "logsum")

TABLES = {
    "": config.TOP_KEYS,
    "queue.archive": config.QUEUE_KEYS,
    "instrument.minicam": config.INSTRUMENT_KEYS,
    "sweeper": config.SWEEPER_KEYS,
    "logsum": config.LOGSUM_KEYS,
    "lp": config.LP_KEYS,
}
KEYS = [(table, key) for table, keys in TABLES.items() for key in keys]
PART_OF = {
    "": "archq",
    "queue": "archq",
    "lp": "archq",
    "instrument": "instrument",
    "sweeper": "sweeper",
    "logsum": "logsum",
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}


def loaded(text: str, directory: Path, *parts: str) -> Config:
    path = directory / "archq.toml"
    path.write_text(text)
    return load(*parts or ALL, environment={"ARCHQ_CONFIG": str(path)})


def refusal(text: str, directory: Path, *parts: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(text, directory, *parts)
    assert caught.value.status is ExitStatus.CONFIGURATION
    prefix = f"{directory}/archq.toml: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def table_with(table: str, line: str) -> str:
    """Return a configuration that has ``line`` in ``table`` and no other fault."""
    url = '\nurl = "file:/incoming"' if table.startswith("queue.") and not line.startswith("url ") else ""
    return f"[{table}]{url}\n{line}\n" if table else f"{line}\n"


def shown(table: str) -> str:
    return f"[{table}] " if table else ""


def part(table: str) -> str:
    return PART_OF[table.partition(".")[0]]


def test_the_example_says_what_the_contract_says(home: dict[str, str]) -> None:
    whole = load(*ALL, environment={"ARCHQ_CONFIG": str(EXAMPLE)})
    queue, minicam = whole.queues["archive"], whole.instruments["minicam"]
    assert (whole.default, whole.spool, whole.autostart) == ("archive", "/var/spool/archq", True)
    assert (whole.keep, whole.reserve) == (7 * 86_400, 5_000_000_000)
    assert queue.url == "sftp://tdcin@archive.example.edu:22/incoming"
    assert (queue.instrument, queue.instruments) == ("minicam", ("minicam", "megacam"))
    assert (queue.maxftp, queue.idle, queue.connections, queue.rate_limit) == (600, 60, 4, 20_000_000)
    assert (queue.account, queue.checksum, queue.spool_mode) == ("auto", "sha256", "copy")
    assert (minicam.directory, minicam.aliases) == ("/data/oir/ARCHMINICAM", ("mini",))
    assert (minicam.zone, minicam.rollover, minicam.dated, minicam.mode) == ("MST", 12 * 3600, "%Y.%m%d", 0o444)
    assert whole.sweeper.ignore == ("minicam", "megacam")
    assert (whole.sweeper.stale, whole.sweeper.remind, whole.sweeper.max_skew) == (86_400, 21_600, 600)
    assert (whole.logsum.ftp_log_zone, whole.logsum.bins) == ("EST5EDT", (1, 2, 4, 8))


def test_what_the_example_shows_in_comments_is_right_too(tmp_path: Path) -> None:
    assert loaded(re.sub(r"(?m)^#(?! )", "", EXAMPLE.read_text()), tmp_path) != Config()


def test_a_default_that_the_example_shows_in_a_comment_is_the_default(tmp_path: Path) -> None:
    example = EXAMPLE.read_text().replace("[queue.archive]", '[queue.archive]\nurl = "file:/incoming"')
    headers = re.findall(r"(?m)^\[.*|^url = .file.*", example)
    defaults = re.findall(
        r"(?m)^#((?:history|idle|netrc|remind|max_skew|on_filed_limit) = .*)|^(\[.*|url = .file.*)", example
    )
    shown_in_comments = [default or header for default, header in defaults]
    assert len(shown_in_comments) == len(headers) + 6
    assert loaded("\n".join(shown_in_comments), tmp_path) == loaded("\n".join(headers), tmp_path)


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_the_example_shows_every_key(table: str, key: str) -> None:
    text = EXAMPLE.read_text()
    section = text.partition(f"[{table}]\n")[2] if table else text
    assert re.search(rf"(?m)^#?{key} = ", section.partition("\n[")[0])


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_every_key_has_its_place_among_the_values(table: str, key: str) -> None:
    places = {
        "": Config,
        "queue": config.QueueSettings,
        "instrument": config.InstrumentSettings,
        "sweeper": config.SweeperSettings,
        "logsum": config.LogsumSettings,
        "lp": Config,
    }
    names = {field.name for field in dataclasses.fields(places[table.partition(".")[0]])}
    assert (f"lp_{key}" if table == "lp" else key) in names


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_an_unknown_key_names_the_nearest_known_one(table: str, key: str, tmp_path: Path) -> None:
    wrong = f"{key}x"
    assert refusal(table_with(table, f"{wrong} = 1"), tmp_path) == (
        f"{shown(table)}{wrong}: unknown key; did you mean {key}?"
    )


def test_an_unknown_section_names_the_nearest_known_one(tmp_path: Path) -> None:
    assert refusal('[queues.archive]\nurl = "file:/x"\n', tmp_path) == "queues: unknown key; did you mean queue?"


def test_a_key_that_is_near_to_nothing_names_them_all(tmp_path: Path) -> None:
    assert refusal("[logsum]\nxyzzy = 1\n", tmp_path) == (
        "[logsum] xyzzy: unknown key; known are ftp_log, ftp_log_zone, bins"
    )


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_value_of_the_wrong_form_is_refused_with_its_place(table: str, key: str, tmp_path: Path) -> None:
    for value in ("{}", "[[1]]", "2026-11-20", '""', "-1", "nan", "inf", "1e400"):
        assert refusal(table_with(table, f"{key} = {value}"), tmp_path).startswith(f"{shown(table)}{key}: ")


@pytest.mark.parametrize(
    ("table", "line", "message"),
    [
        ("", "autostart = 1", "autostart: not true or false: 1"),
        ("", 'autostart = "yes"', "autostart: not true or false: 'yes'"),
        ("", 'spool = "spool"', "spool: not an absolute path: 'spool'"),
        ("", 'keep = "a week"', "keep: not a duration such as 90, 15m, 6h or 7d: 'a week'"),
        ("", 'reserve = "5 gigs"', "reserve: not a size such as 5GB or 512MiB: '5 gigs'"),
        ("", f"reserve = {'9' * 400}", f"reserve: not a size such as 5GB or 512MiB: {'9' * 400}"),
        ("", f'reserve = "{"9" * 400}"', f"reserve: not a size such as 5GB or 512MiB: '{'9' * 400}'"),
        ("queue.archive", "connections = 0", "[queue.archive] connections: not a number from 1 on: 0"),
        ("queue.archive", "connections = true", "[queue.archive] connections: not a number from 1 on: True"),
        ("queue.archive", "connections = 2.0", "[queue.archive] connections: not a number from 1 on: 2.0"),
        ("queue.archive", 'account = "guest"', "[queue.archive] account: not one of auto, full, upload-only: 'guest'"),
        ("queue.archive", 'spool_mode = "move"', "[queue.archive] spool_mode: not one of copy, link: 'move'"),
        ("queue.archive", 'instruments = "minicam"', "[queue.archive] instruments: not a list of texts: 'minicam'"),
        ("queue.archive", "instruments = [1]", "[queue.archive] instruments: not a text: 1"),
        ("instrument.minicam", "mode = 0o444", '[instrument.minicam] mode: not a file mode such as "0444": 292'),
        (
            "instrument.minicam",
            'mode = "4755"',
            """[instrument.minicam] mode: not a file mode such as "0444": '4755'""",
        ),
        (
            "instrument.minicam",
            'rollover = "24:00"',
            """[instrument.minicam] rollover: not a time of day such as "12:00": '24:00'""",
        ),
        ("logsum", "bins = []", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: []'),
        ("logsum", "bins = [2, 1]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [2, 1]'),
        ("logsum", "bins = [1, 1]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [1, 1]'),
        ("logsum", "bins = [0, 1]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [0, 1]'),
        ("logsum", "bins = [true, 2]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [True, 2]'),
        ("logsum", "bins = [1, inf]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [1, inf]'),
        ("logsum", "bins = [1, nan]", 'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: [1, nan]'),
    ],
)
def test_a_wrong_value_is_told_with_what_would_be_right(table: str, line: str, message: str, tmp_path: Path) -> None:
    assert refusal(table_with(table, line), tmp_path).endswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("queue = 1", "[queue] is not a table: 1"),
        ("queue.archive = 1", "[queue.archive] is not a table: 1"),
        ("instrument = []", "[instrument] is not a table: []"),
        ("sweeper = 1", "[sweeper] is not a table: 1"),
        ("logsum = 1", "[logsum] is not a table: 1"),
        ("lp = 1", "[lp] is not a table: 1"),
        ("[queue.archive]", "[queue.archive] has no url, such as sftp://user@archive.example.edu/incoming"),
        ('[queue."a b"]\nurl = "file:/x"', "[queue.a b] a queue's name has letters, digits, '_' and '-' only"),
        ('[queue."-d"]\nurl = "file:/x"', "[queue.-d] a queue's name has letters, digits, '_' and '-' only"),
        ('default = "archive"', "default: there is no [queue.archive]"),
        ("[instrument.all]", "[instrument.all] not an instrument's name: 'all'; use up to 32 letters"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        "[instrument.a]\naliases = ['b']\n[instrument.b]",
        "[instrument.a]\naliases = ['b']\n[instrument.c]\naliases = ['b']",
    ],
)
def test_a_name_that_two_instruments_claim_is_refused(text: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path) == "[instrument.a] aliases: b is another instrument's name or alias too"


FAULTS = {
    "archq": "[queue.archive]\nurll = 1\n",
    "instrument": "[instrument.minicam]\ndirectori = 1\n",
    "sweeper": "[sweeper]\nincomming = 1\n",
    "logsum": "[logsum]\nbin = 1\n",
}


@pytest.mark.parametrize("reading", ALL)
@pytest.mark.parametrize("faulty", ALL)
def test_a_typing_error_stops_only_who_reads_that_part(reading: str, faulty: str, tmp_path: Path) -> None:
    if reading == faulty:
        assert "unknown key" in refusal(FAULTS[faulty], tmp_path, reading)
    else:
        assert loaded(FAULTS[faulty], tmp_path, reading).path


def test_a_part_that_is_not_read_keeps_its_defaults(tmp_path: Path) -> None:
    assert loaded('[sweeper]\nincoming = "/x"\n', tmp_path, "logsum").sweeper == Config().sweeper


def test_without_a_file_everything_has_its_default(home: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(config, "SYSTEM_FILE", str(tmp_path / "none.toml"))
    assert load(*ALL, environment=home) == Config(spool=f"{tmp_path}/state/archq")


def test_a_users_own_file_comes_before_the_systems(home: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    system = tmp_path / "system.toml"
    system.write_text('keep = "1d"\n')
    monkeypatch.setattr(config, "SYSTEM_FILE", str(system))
    assert load(*ALL, environment=home).path == str(system)
    own = tmp_path / "config" / "archq" / "archq.toml"
    own.parent.mkdir(parents=True)
    own.write_text('keep = "2d"\n')
    assert load(*ALL, environment=home).keep == 2 * 86_400
    assert load(*ALL, environment=home | {"ARCHQ_CONFIG": str(system)}).keep == 86_400


@pytest.mark.parametrize("empty", [{}, {"XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}])
def test_the_standard_places_are_used_where_the_environment_names_none(empty: dict[str, str], monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/observer")
    assert load(environment=empty).spool == "/home/observer/.local/state/archq"
    assert config.places(empty) == "$ARCHQ_CONFIG, /home/observer/.config/archq/archq.toml or /etc/archq/archq.toml"


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^cannot read the configuration .*/none\.toml: No such file or directory$"
    ):
        load(*ALL, environment={"ARCHQ_CONFIG": str(tmp_path / "none.toml")})


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^cannot read the configuration .*: Is a directory$"):
        load(*ALL, environment={"ARCHQ_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    "raw",
    [
        b"keep = 7d\n",
        b"keep = \n",
        b"a = 1\na = 2\n",
        b"[queue\n",
        b"# caf\xe9\n",
        b"\xff\xfe",
        b"keep = " + b"9" * 5000,
    ],
)
def test_what_is_not_toml_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "archq.toml").write_bytes(raw)
    with pytest.raises(ConfigurationError, match=rf"^{tmp_path}/archq\.toml: not TOML: "):
        load(environment={"ARCHQ_CONFIG": str(tmp_path / "archq.toml")})


def test_an_instrument_is_found_by_its_aliases(tmp_path: Path) -> None:
    whole = loaded("[instrument.minicam]\naliases = ['mini']\n[instrument.mega]\n", tmp_path)
    assert whole.instrument_named("mini") == whole.instrument_named("minicam") == whole.instruments["minicam"]
    assert whole.instrument_named("nothing") is None


def test_a_limit_of_nothing_is_no_limit(tmp_path: Path) -> None:
    whole = loaded(table_with("queue.archive", "rate_limit = 0"), tmp_path)
    assert whole.queues["archive"].rate_limit is None


@pytest.mark.parametrize("value", ["sign.key", "site1", "site1:sign.key", ":/etc/archq/sign.key", "a b:/k"])
def test_a_key_to_sign_with_has_a_name_and_an_absolute_path(value: str, tmp_path: Path) -> None:
    assert refusal(table_with("queue.archive", f'sign_key = "{value}"'), tmp_path) == (
        f'[queue.archive] sign_key: not a key\'s name and file such as "site1:/etc/archq/sign.key": {value!r}'
    )


def test_a_path_may_begin_at_home(tmp_path: Path) -> None:
    assert loaded('spool = "~/spool"\n', tmp_path).spool == os.path.expanduser("~/spool")
