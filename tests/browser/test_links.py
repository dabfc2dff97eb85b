"""Links between the pages, read from the files: each leads to something that is there."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup

from gpubook.book.sphinx_text import OTHER_SENSES, term_pattern
from tests.browser.conftest import DOCUMENTS

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


# Where a term may stand without a link: headings, code and its output, tables' heads, drawings.
APART = (
    "h1, h2, h3, h4, h5, pre, svg, summary, script, style, thead, nav, .headerlink, .math, "
    ".cell_input, .cell_output, .gb-evidence, .gb-check, .gb-table, dt, .admonition-title, form, "
    ".gb-what-if-table"
)


def _unlinked(article, terms: dict[str, str]) -> list[str]:
    """Terms whose first use in a page's running text is not a link to the glossary."""
    for part in article.select(APART):
        part.decompose()
    names = sorted(terms, key=len, reverse=True)
    pattern = re.compile("|".join(f"({term_pattern(name)})" for name in names))
    seen: set[str] = set()
    bare = []
    for text in article.find_all(string=True):
        link = text.find_parent("a")
        if link is not None:
            place = str(link.get("href", "")).rpartition("#")[2]
            seen |= {name for name in names if terms[name] == place}
            continue
        code = text.find_parent("code")
        for match in pattern.finditer(str(text)):
            name = names[match.lastindex - 1]
            if name in seen or (code is not None and code.get_text() != match[0]):
                continue
            seen.add(name)
            bare.append(f"{name}: …{str(text)[max(0, match.start() - 30) : match.end() + 20]}…")
    return bare


def test_a_glossary_term_is_linked_where_a_page_first_uses_it(built_book):
    glossary = _soup(built_book / "book" / "glossary.html")
    terms = {
        "".join(t for t in dt.find_all(string=True, recursive=False)).strip(): dt["id"]
        for dt in glossary.select("dt[id^=term-]")
    }
    assert len(terms) > 50
    terms = {name: place for name, place in terms.items() if name not in OTHER_SENSES}
    bare, linked = [], 0
    for document in DOCUMENTS:
        if document == "book/glossary":
            continue
        article = _soup(built_book / f"{document}.html").select_one("article.bd-article")
        linked += len(article.select("a[href*='glossary.html#term-']"))
        bare += [f"{document}: {found}" for found in _unlinked(article, terms)]
    assert linked > 100
    assert bare == []


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def test_what_is_shared_of_a_page_is_there_and_what_only_servers_need_is_not(built_book):
    said = set()
    for document in DOCUMENTS:
        head = _soup(built_book / f"{document}.html").head
        meta = {m.get("property") or m.get("name"): m.get("content") for m in head.select("meta")}
        assert 20 < len(meta["description"]) <= 200, document
        assert meta["og:title"], document
        assert not meta.keys() & {"og:url", "og:image", "twitter:card"}, "these need an address"
        said.add(meta["description"])
    assert len(said) == len(DOCUMENTS), "two pages with one description"
    assert not (built_book / "sitemap.xml").exists()


def test_pages_for_reading_offline_have_no_launch_buttons_and_load_no_script_needlessly(built_book):
    for document in DOCUMENTS:
        soup = _soup(built_book / f"{document}.html")
        assert not soup.select(".dropdown-launch-buttons"), document
        scripts = [s["src"] for s in soup.select("script[src]")]
        for useless in ("fontawesome", "togglebutton", "searchindex", "thebe", "require"):
            assert not any(useless in script for script in scripts), f"{document}: {useless}"
        assert any("machines.js" in s for s in scripts) == bool(soup.select(".gb-machines"))
        waiting = [s for s in soup.select("script[src]") if not s.has_attr("defer")]
        names = [s["src"].split("?")[0].rpartition("/")[2] for s in waiting]
        assert set(names) <= {"documentation_options.js", "startup.js"}, document
