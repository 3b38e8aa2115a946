"""Debian's Chromium, which shows a page as its readers see it: installed, or unpacked without being installed."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.requirements import require
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--proxy-server=127.0.0.1:9",  # where nobody listens: what a page asked for would fail
)
DARK, LIGHT = 0, 1  # as Chromium counts preferences
SECONDS = 120

FONTS = "<fontconfig><dir>{directory}</dir><cachedir>{cache}</cachedir></fontconfig>\n"

# Runs around the page, not in it: the page allows no script.
LOOK = """<!DOCTYPE html><body style="margin:0"><iframe style="border:0;width:{width}px;height:3000px"></iframe>
<script type="application/json" id="page">{page}</script><pre id="told"></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, style = element => frame.contentWindow.getComputedStyle(element);
  document.querySelector("#told").textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth,
    ground: style(page.body).backgroundColor,
    ink: style(page.body).color,
    bar: page.querySelector(".bar") && style(page.querySelector(".bar")).fill,
    asked: frame.contentWindow.performance.getEntriesByType("resource").length,
    scripts: page.scripts.length,
    text: page.body.innerText,
    svg: [...page.querySelectorAll("svg")].map(one => one.getBoundingClientRect().width),
  }});
}};
frame.srcdoc = JSON.parse(document.querySelector("#page").textContent);
</script></body>"""


@dataclass(frozen=True)
class Browser:
    """A program that renders pages, with its own profile below ``place``."""

    program: str
    environment: Mapping[str, str]
    place: Path

    def look(self, page: str, width: int, scheme: int = LIGHT) -> dict[str, Any]:
        """Show ``page`` in a frame of ``width`` and return what is seen of it."""
        wrapper = self.place / "look.html"
        wrapper.write_text(LOOK.format(width=width, page=json.dumps(page).replace("<", "\\u003c")))
        shown = self.run("--dump-dom", wrapper, scheme, 1300)
        told = re.search(r'<pre id="told">(.*?)</pre>', shown, re.DOTALL)
        assert told, shown[-500:]
        seen: dict[str, Any] = json.loads(html.unescape(told[1]))
        return seen

    def picture(self, page: str, width: int, scheme: int = LIGHT) -> Path:
        """Return a screenshot of ``page``."""
        file, picture = self.place / "page.html", self.place / "page.png"
        file.write_text(page)
        self.run(f"--screenshot={picture}", file, scheme, width)
        return picture

    def run(self, wish: str, file: Path, scheme: int, width: int) -> str:
        profile = self.place / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        command = [
            *(self.program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},2600"),
            *(f"--blink-settings=preferredColorScheme={scheme}", wish, f"file://{file}"),
        ]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr[-1000:]
        return done.stdout


def browser(place: Path) -> Browser:
    """Return Chromium; without it, skip the test and say why."""
    environment = {**os.environ, "HOME": str(place), "XDG_RUNTIME_DIR": str(place)}
    if installed := shutil.which("chromium"):
        return Browser(installed, environment, place)
    try:
        unpacked = fetched("chromium", "fonts-dejavu-core")
        program = unpacked.program("usr/lib/chromium/chromium")  # what stands in usr/bin is a script that looks in /
    except UnavailableError as error:
        require(False, f"chromium: {error}")
        raise
    libraries = {str(path.parent) for path in unpacked.root.rglob("*.so*")}  # some have a directory of their own
    fonts = place / "fonts.conf"  # this machine may have none
    fonts.write_text(FONTS.format(directory=unpacked.root / "usr/share/fonts", cache=place / "fonts"))
    own = {"LD_LIBRARY_PATH": ":".join(sorted(libraries)), "FONTCONFIG_FILE": str(fonts)}
    return Browser(program, {**environment, **own}, place)
