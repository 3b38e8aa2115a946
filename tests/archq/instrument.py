"""An instrument computer for tests: a configuration, a spool, two queues that put files into directories."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archq.config import Config, load
from archq.names import parse_wire_name
from archq.spool import RequestId, Spool
from archq.submission import submit

CONFIGURATION = """\
default = "archive"
spool = "{home}/spool"
autostart = {autostart}
{top}
[queue.archive]
url = "{url}"
instrument = "minicam"
{queue}
[queue.other]
url = "file:{home}/other"
instruments = ["minicam", "megacam"]
"""


@dataclass(frozen=True)
class Instrument:
    home: Path

    @classmethod
    def at(cls, home: Path, *, top: str = "", queue: str = "", autostart: bool = False, url: str = "") -> Instrument:
        for name in ("incoming", "other", "data"):
            (home / name).mkdir(exist_ok=True)
        text = CONFIGURATION.format(
            home=home, url=url or f"file:{home}/incoming", top=top, queue=queue, autostart=str(autostart).lower()
        )
        (home / "archq.toml").write_text(text)
        return cls(home)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ARCHQ_CONFIG": str(self.home / "archq.toml"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    @property
    def config(self) -> Config:
        return load("archq", environment=self.environment)

    @property
    def spool(self) -> Spool:
        return Spool(self.config.spool)

    def frame(self, name: str = "img0001.fits", content: bytes = b"light" * 100) -> Path:
        path = self.home / "data" / name
        path.write_bytes(content)
        return path

    def submit(self, *names: str, **wishes: Any) -> RequestId:
        frames = [self.frame(name) for name in names or ("img0001.fits",)]
        return submit(frames, config=self.config, **wishes).id

    def submit_content(self, content: bytes, name: str = "img0001.fits", **wishes: Any) -> RequestId:
        return submit([self.frame(name, content)], config=self.config, **wishes).id

    def archq(self, *words: str | Path, status: int = 0, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run the command and expect ``status``."""
        done = self.begin(*words, **settings)
        output, errors = done.communicate(timeout=60)
        assert done.returncode == status, errors or output
        return subprocess.CompletedProcess(done.args, done.returncode, output, errors)

    def begin(self, *words: str | Path, **settings: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "archq.cli", *map(str, words)],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": self.environment, **settings},
        )

    def arrivals(self, place: str = "incoming") -> list[str]:
        """Return the instruments and tries of the control files that arrived, in the order of their ids."""
        names = (parse_wire_name(name) for name in sorted(os.listdir(self.home / place)))
        return [f"{name.instrument}.{name.attempt}" for name in names if name and name.kind == "cf"]
