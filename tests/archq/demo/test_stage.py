"""A tour's directory is made, cleared and shared as carefully as if it were a user's."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from archq import config
from archq.demo import stage
from archq.demo.servers import DemoServer
from archq.errors import CannotCreateError, TemporaryError


def test_a_missing_or_empty_directory_becomes_ours(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for directory in (tmp_path / "new" / "demo", tmp_path / "empty"):
        with stage.cleared(directory) as place:
            assert [path.name for path in place.iterdir()] == [stage.MARKER]


def test_what_an_earlier_tour_left_is_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    with stage.cleared(tmp_path / "demo") as place:
        (place / "archive").mkdir()
        (place / "archive" / "img0001.fits").touch(0o444)
        (place / "link").symlink_to(elsewhere)
    with stage.cleared(tmp_path / "demo") as place:
        assert [path.name for path in place.iterdir()] == [stage.MARKER]
    assert (elsewhere / "kept").exists()


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_is_not_ours_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    directory, thesis = tmp_path / "demo", tmp_path / "thesis.tex"
    thesis.write_text("precious")
    if kind == "directory":
        directory.mkdir()
        thesis = thesis.rename(directory / thesis.name)
    elif kind == "file":
        thesis = thesis.rename(directory)
    else:
        directory.symlink_to(tmp_path)
    refused = pytest.raises(CannotCreateError, match=r"not by an earlier demonstration .* --directory$")
    with refused, stage.cleared(directory):
        pass
    assert thesis.read_text() == "precious"


def test_two_tours_never_share_a_directory(tmp_path: Path) -> None:
    with stage.cleared(tmp_path) as place:
        (place / "mine").touch()
        with pytest.raises(TemporaryError, match=r"another archq demo runs in"), stage.cleared(tmp_path):
            pass
        assert (place / "mine").exists()


def test_no_command_is_led_out_of_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "TMPDIR", "ARCHQ_CONFIG", "XDG_STATE_HOME", "PRINTER"):
        monkeypatch.setenv(name, "/elsewhere")
    environment = stage.environment(tmp_path)
    assert "/elsewhere" not in environment.values()
    assert Path(environment["HOME"]).is_dir()
    assert config.find(environment) == str(tmp_path / "archq.toml")


def test_the_configuration_is_valid_and_the_passwords_are_beside_it(tmp_path: Path) -> None:
    server = DemoServer(
        scheme="ftp", port=2121, password="secret", incoming=tmp_path / "in", log=tmp_path / "log",
        known_hosts=tmp_path / "known_hosts",
    )  # fmt: skip
    other = DemoServer(
        scheme="sftp", port=2222, password="other", incoming=tmp_path / "in", log=tmp_path / "log",
        known_hosts=tmp_path / 'a "quoted" directory',
    )  # fmt: skip
    stage.configure(tmp_path, server, other, rate_limit="8MB/s")
    loaded = config.load("archq", "instrument", "sweeper", "logsum", environment=stage.environment(tmp_path))
    assert loaded.queues["archive"].url == "ftp://tdcin@127.0.0.1:2121/incoming"
    assert loaded.queues["spectra"].known_hosts == str(tmp_path / 'a "quoted" directory')
    assert loaded.instruments["hectospec"].rollover == 12 * 3600
    password_file = loaded.queues["archive"].password_file
    assert password_file
    assert Path(password_file).read_text() == "secret\n"
    assert os.stat(password_file).st_mode & 0o777 == 0o600
    assert "secret" not in (tmp_path / "archq.toml").read_text()
    assert tomllib.loads((tmp_path / "archq.toml").read_text())["autostart"] is False
