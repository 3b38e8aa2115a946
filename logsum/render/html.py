"""HTML from values: what is not HTML already is escaped, so that no file's name becomes a part of a page (pure)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from archq.console import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Html:
    """Return an element; an attribute ``class_`` is its class."""
    inside = "".join(map(as_html, children))
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{told}>{inside}</{name}>")


def as_html(text: str) -> Html:
    """Return ``text`` as HTML: itself if it is, else escaped, with control characters and the like made visible."""
    return text if isinstance(text, Html) else Html(escape(printable(text)))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> Html:
    """Return a table that scrolls where it is wider than the page; its first column names the lines."""
    head = element("tr", *(element("th", header, scope="col") for header in headers))
    lines = (
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    )
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", *lines))
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)
