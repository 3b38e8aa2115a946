"""A new configuration: every line of the example, with a site's own values or as a comment."""

from __future__ import annotations

import re
import tomllib

import pytest

from archq import config
from archq.setup.sites import ArchiveHost, InstrumentComputer
from archq.setup.template import examples, filled

EXAMPLE = (examples() / "archq.toml").read_text()


def test_a_key_without_a_value_is_a_comment_and_keeps_its_own() -> None:
    text = filled(EXAMPLE, {"queue.site": {"url": "file:/in", "netrc": True}})
    assert tomllib.loads(text) == {"queue": {"site": {"url": "file:/in", "netrc": True}}}
    assert re.search(r"(?m)^url = \"file:/in\" +# or ftp://", text)
    assert re.search(r"(?m)^#maxftp = 600 {10,}# seconds a file may take", text)


def test_every_key_of_its_sections_is_there() -> None:
    kinds = {
        "": config.TOP_KEYS,
        "queue.a": config.QUEUE_KEYS,
        "instrument.b": config.INSTRUMENT_KEYS,
        "sweeper": config.SWEEPER_KEYS,
        "logsum": config.LOGSUM_KEYS,
        "lp": config.LP_KEYS,
    }
    for section, keys in kinds.items():
        text = filled(EXAMPLE, {section: {}})
        assert set(re.findall(r"(?m)^#(\w+) = ", text)) == set(keys)
        assert text.count("\n[") == bool(section)


def test_a_value_cannot_become_anything_else() -> None:
    url = 'file:/a"\n[sweeper]\nwork = "/b\\'
    assert tomllib.loads(filled(EXAMPLE, {"queue.a": {"url": url}})) == {"queue": {"a": {"url": url}}}


def test_a_name_that_is_no_bare_key_is_quoted() -> None:
    assert tomllib.loads(filled(EXAMPLE, {"instrument.a+b": {}, "queue.a b": {}})) == {
        "instrument": {"a+b": {}},
        "queue": {"a b": {}},
    }


def test_a_key_that_the_example_lacks_is_no_key() -> None:
    with pytest.raises(ValueError, match=r"^the example has no uri in \[queue\.a\]$"):
        filled(EXAMPLE, {"queue.a": {"uri": "file:/in"}})


def test_of_several_instruments_none_is_taken_for_granted() -> None:
    one = InstrumentComputer(url="file:/in", instruments=("minicam",)).sections()["queue.archive"]
    two = InstrumentComputer(url="file:/in", instruments=("minicam", "megacam")).sections()["queue.archive"]
    assert one["instrument"] == "minicam"
    assert "instrument" not in two


def test_a_drop_box_is_the_example_s_for_another_place() -> None:
    host = ArchiveHost(incoming="/srv/box/in", directory="/srv/archive", uploader="telescope")
    text = host.drop_box((examples() / "archive/etc/vsftpd.conf").read_text())
    assert "\nftp_username=telescope\nanon_root=/srv/box\n" in text
    assert "/data/" not in text
