"""A drop box whose password everybody knows accepts only what our instruments have signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archq.control import format_control, seal, unseal
from archq.signature import Key, read_key, sign
from tests.sweeper.arrivals import SILENT_SUCCESS, Site, control_file, wire_of

SECRET = b"a secret of our instruments"


@pytest.fixture
def key(site: Site) -> Key:
    """Ask for signatures; return the key that is accepted."""
    file = site.root / "sign.key"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    site.configuration.write_text(
        f'[sweeper]\nkeys = ["site1:{file}", "site2:{file}"]\n[instrument.minicam]\nrequire_signature = ["site1"]\n'
    )
    return read_key("site1", str(file))


def test_what_is_signed_is_filed(site: Site, key: Key) -> None:
    site.leave(sign(control_file(b"content"), key), b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]


def test_other_instruments_need_no_signature(site: Site, key: Key) -> None:
    site.arrive(instrument="megacam")
    assert site.sweep("-i", "megacam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]


FORGED = {
    "unsigned": (lambda control, key: format_control(control), "no signature"),
    "signed with another secret": (
        lambda control, key: format_control(sign(control, replace(key, secret=b"guessed and long enough"))),
        "does not fit: it was forged, or altered since",
    ),
    "signed with a key that is not accepted": (
        lambda control, key: format_control(sign(control, replace(key, name="site2"))),
        "signed with the key site2, which is not accepted",
    ),
    "altered since": (
        lambda control, key: altered(format_control(sign(control, key))),
        "does not fit: it was forged, or altered since",
    ),
}


def altered(text: bytes) -> bytes:
    return seal(unseal(text).replace(b"name=img0001.fits", b"name=img0002.fits"))


@pytest.mark.parametrize(("forge", "reason"), FORGED.values(), ids=FORGED)
def test_what_is_not_signed_by_us_is_rejected(site: Site, key: Key, forge, reason: str) -> None:
    control = control_file(b"content")
    site.leave(control, b"content", text=forge(control, key))
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert reason in result.errors
    assert site.outcomes() == ["rejected"]
    assert site.archived() == {}


def test_what_is_replayed_is_not_filed_again(site: Site, key: Key) -> None:
    """A true signature on old words: its id was filed, whatever the copy is called."""
    signed = sign(control_file(b"content"), key)
    site.leave(signed, b"content")
    site.sweep("-i", "minicam")
    (site.archive / "2026.1120" / "img0001.fits").unlink()
    for attempt in (1, 7):
        site.leave(signed, b"content", attempt=attempt)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {}
    assert site.outcomes() == ["filed", "duplicate", "duplicate"]


def test_a_replay_under_the_name_of_another_arrival_is_rejected(site: Site, key: Key) -> None:
    signed, other = sign(control_file(b"content"), key), control_file(b"content")
    (site.incoming / str(wire_of(other))).write_bytes(b"content")
    (site.incoming / str(wire_of(other).control)).write_bytes(format_control(signed))
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert "its name says" in result.errors


def test_a_key_that_is_not_configured_is_told_and_nothing_is_touched(site: Site) -> None:
    site.configuration.write_text('[instrument.minicam]\nrequire_signature = ["site1"]\n')
    site.arrive()
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert "[instrument.minicam] require_signature: no key 'site1': name its file in [sweeper] keys" in result.errors
    assert len(site.arrivals()) == 2


def test_a_key_that_others_may_read_is_told_and_nothing_is_touched(site: Site, key: Key) -> None:
    (site.root / "sign.key").chmod(0o644)
    site.arrive()
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert f"sign.key may be read by others (mode 0644): chmod 600 {site.root}/sign.key" in result.errors
    assert len(site.arrivals()) == 2


def test_a_dry_run_tells_what_would_be_rejected(site: Site, key: Key) -> None:
    site.arrive()
    assert "would be rejected: no signature" in site.sweep("-i", "minicam", "--dry-run").output
