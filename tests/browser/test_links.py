"""Links between the pages, read from the files: each leads to something that is there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("id"):
            self.ids.add(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        for name, value in attributes:
            if (tag, name) in LOADING and value:
                self.loaded.append(value)


def _pages(book: Path) -> dict[Path, _Page]:
    files = sorted(book.rglob("*.html"))
    files = [f for f in files if not f.is_relative_to(book / "_static")]
    return {file: _Page(file.read_text(encoding="utf-8")) for file in files}


def test_every_internal_link_leads_to_a_page_and_a_place_in_it(built_book):
    pages = _pages(built_book)
    assert len(pages) > 10
    broken = []
    for file, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            path, place = urldefrag(link)
            target = (file.parent / unquote(path.split("?")[0])).resolve() if path else file
            missing = place and target in pages and unquote(place) not in pages[target].ids
            if missing or not target.exists():
                broken.append(f"{file.name}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(built_book):
    outside = [
        f"{file.name}: {source}"
        for file, page in _pages(built_book).items()
        for source in page.loaded
        if re.match(r"(https?:)?//", source)
    ]
    assert outside == []


def test_no_page_names_a_server_that_scripts_could_be_loaded_from(built_book):
    hosts = re.compile(r"unpkg\.com|jsdelivr|cdnjs|polyfill\.io|googleapis|gstatic")
    naming = [
        file.name for file in _pages(built_book) if hosts.search(file.read_text(encoding="utf-8"))
    ]
    assert naming == []
