"""Reading a page back: cells, addresses, and whether every tag is closed."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

from imjax.report import write_report


class Page(HTMLParser):
    """Cells of every table row, addresses, places on the page, and tags that were not closed."""

    VOID = {"meta", "img"}

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        links = [value for name, value in attrs if name in ("src", "href")]
        self.anchors += [value[1:] for value in links if value.startswith("#")]
        self.addresses += [value for value in links if not value.startswith("#")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page(workdirs, out) -> tuple[str, Page]:
    write_report(workdirs, out)
    text = out.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    return text, parsed


def row(parsed: Page, title: str) -> list[str]:
    return next(cells for cells in parsed.rows if cells[0] == title)


def svg_of(address: str) -> str:
    """Text of an address in the page; empty if it is no SVG."""
    kind, data = address.split(",", 1)
    return base64.b64decode(data).decode() if kind == "data:image/svg+xml;base64" else ""
