"""The whole book as one PDF: the rendered pages one after the other, printed by Chromium.

The pages' texts are put into one document, with a title page and a table of contents before
them. Chromium prints it twice: the page numbers of the contents are known after the first time.
"""

from __future__ import annotations

import html
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import yaml

from gpubook import files
from gpubook.book.pages import chapters, parsed
from gpubook.errors import BookError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PRINTED = 3
_PRINTING_MS = 300_000

_FOOTER = (
    '<div style="font-size:8pt;width:100%;text-align:center;color:#333">'
    '<span class="pageNumber"></span></div>'
)
_READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
}"""


@dataclass(frozen=True)
class Line:
    """A line of the contents: level 0 for a part, 1 for a page, 2 for a section of it."""

    level: int
    title: str
    anchor: str = ""


def anchor(document: str, place: str = "") -> str:
    """A page's, or one of its places', name in the whole document."""
    return re.sub(r"[^\w-]", "-", document) + (f"--{place}" if place else "")


def _target(document: str, link: str, pages: set[str]) -> str | None:
    """Where a link of a page leads in the whole document; ``None`` when to no page of the book."""
    address, place = urldefrag(link)
    if urlsplit(link).scheme:
        return None
    path = os.path.normpath(Path(document).parent / unquote(address)) if address else document
    other = re.sub(r"\.html$", "", Path(path).as_posix())
    return anchor(other, unquote(place)) if other in pages else None


def chapter(built: Path, document: str, pages: set[str]) -> tuple[str, list[Line], list[str]]:
    """A rendered page for the whole document: its text, its lines of the contents, what it loads.

    Its ids get the page's name before them, its links lead within the document, and what is
    folded is open. ``document`` is its name in the table of contents.
    """
    soup, article = parsed(built, document)
    folder = (built / document).parent
    for useless in article.select("script, style, button, .headerlink, .gb-machines > fieldset"):
        useless.decompose()
    for tag in article.find_all(True):
        _name_apart(tag, anchor(document))
        _lead_inside(tag, document, pages)
    for fold in article.select("details"):
        fold["open"] = ""
    for image in article.select("img[src]"):
        image["src"] = _address(folder, image["src"])
    article.name, article["id"] = "section", anchor(document)
    article["class"] = [*article.get("class", []), "gb-chapter"]
    lines = _headings(article, document)
    return str(article), lines, [*_styles(soup, folder), *_maths(soup, folder)]


def _address(folder: Path, link: str) -> str:
    return (folder / unquote(link.partition("?")[0])).resolve().as_uri()


def _name_apart(tag: Any, name: str) -> None:
    """Put the page's name before an element's ids, and before those that it refers to."""
    for attribute, value in list(tag.attrs.items()):
        if attribute in ("id", "for", "aria-labelledby", "aria-describedby"):
            tag[attribute] = " ".join(f"{name}--{word}" for word in value.split())
        elif isinstance(value, str) and "url(#" in value:
            tag[attribute] = value.replace("url(#", f"url(#{name}--")


def _lead_inside(tag: Any, document: str, pages: set[str]) -> None:
    """Let a link to a page of the book lead to its place here; one to another file is no link."""
    for name in ("href", "xlink:href"):
        if not tag.get(name) or urlsplit(tag[name]).scheme:
            continue
        if target := _target(document, tag[name], pages):
            tag[name] = f"#{target}"
        else:
            del tag[name]


def _headings(article: Any, document: str) -> list[Line]:
    """The page and its sections. A page's first heading stands for the page."""
    lines: list[Line] = []
    for heading in article.find_all(["h1", "h2"]):
        above = heading.find_parent("section", id=True)
        level = int(heading.name[1])
        # A section may begin on the page before its heading, which is not left alone there: so
        # the heading gets a name of its own.
        place = anchor(document) if level == 1 and not lines else f"{above['id']}--title"
        if place != anchor(document):
            heading["id"] = place
        lines.append(Line(level, " ".join(heading.get_text().split()), place))
    return lines


def _styles(soup: Any, folder: Path) -> list[str]:
    """Links to the style sheets that a page loads."""
    sheets = [link["href"] for link in soup.select('link[rel="stylesheet"]')]
    return [f'<link rel="stylesheet" href="{_address(folder, sheet)}">' for sheet in sheets]


def _maths(soup: Any, folder: Path) -> list[str]:
    """What a page with formulas loads to draw them; nothing for a page without."""
    setting = soup.find("script", string=re.compile(r"^window\.MathJax = "))
    source = soup.select_one('script[src*="mathjax/startup.js"]')
    if not setting or not source:
        return []
    return [f'{setting}<script src="{_address(folder, source["src"])}"></script>']


def contents(lines: list[Line], numbers: dict[str, int]) -> str:
    """The table of contents; ``numbers`` has the page of each anchor, as far as it is known."""
    return files.filled("gpubook.book", "contents", lines=lines, numbers=numbers)


def compose(root: Path, built: Path) -> tuple[str, list[Line]]:
    """The whole document, with an empty list of contents, and the lines that go there."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    parts = chapters(root)
    pages = {document for _, documents in parts for document in documents}
    lines: list[Line] = []
    texts: list[str] = []
    loads: dict[str, None] = {}
    for caption, documents in parts:
        lines += [Line(0, caption)] if caption else []
        for document in documents:
            text, headings, needs = chapter(built, document, pages)
            texts.append(text)
            lines += headings
            loads |= dict.fromkeys(needs)
    # The book's own style comes last, as on the pages.
    own = [f'/{file.name}">' for file in (root / "book" / "_static").glob("*.css")]
    head = sorted(loads, key=lambda load: load.endswith(tuple(own)))
    head.append(f"<style>{files.packaged('gpubook.book', 'pdf.css')}</style>")
    whole = files.packaged("gpubook.book", "pdf.html")
    names = {name: html.escape(config[name]) for name in ("title", "author")}
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return whole.format(head="".join(head), texts="".join(texts), day=day, **names), lines


def browser_path(playwright: Any) -> str:
    """The Chromium of this machine, by name, else playwright's own. BookError where none is."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    raise BookError(
        "no Chromium to print with: `sudo apt-get install chromium`, "
        "or `.venv/bin/playwright install chromium`"
    )


@contextmanager
def _tab() -> Iterator[Any]:
    try:
        import pypdf  # noqa: F401 - looked for before the work begins
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BookError(f"printing needs {error.name}, which is not here: make setup") from None
    with sync_playwright() as playwright:
        path = browser_path(playwright)
        try:
            # Everything is on the disk: the network is cut, as in the browser tests.
            flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
            browser = playwright.chromium.launch(executable_path=path, args=flags)
            tab = browser.new_page()
            tab.set_default_timeout(_PRINTING_MS)
            yield tab
            browser.close()
        except Error as error:
            first = str(error).strip().splitlines()[0]
            raise BookError(f"{path} did not print the book: {first}") from error


def page_numbers(data: bytes) -> dict[str, int]:
    """On which page of a PDF each named place is, the first page being 1."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    numbers = {}
    for name, place in reader.named_destinations.items():
        number = reader.get_destination_page_number(place)
        if number is not None:
            numbers[unquote(name.lstrip("/"))] = number + 1
    return numbers


def _bound(data: bytes, lines: list[Line], numbers: dict[str, int], out: Path) -> int:
    """Give the PDF an outline (the contents, unfolded by the reader) and write it to ``out``.

    Returns the number of pages. Chromium's own outline repeats words of headings that it moved
    to the next page.
    """
    from pypdf import PdfWriter

    writer = PdfWriter(clone_from=io.BytesIO(data))
    page = None
    for line in lines:
        if line.level == 0:
            continue
        number = numbers[line.anchor] - 1
        if line.level == 1:
            page = writer.add_outline_item(line.title, number, is_open=False)
        else:
            writer.add_outline_item(line.title, number, parent=page)
    writer.write(out)
    return len(writer.pages)


def _printed(tab: Any) -> bytes:
    return tab.pdf(
        format="A4",
        print_background=False,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=_FOOTER,
        tagged=True,
        prefer_css_page_size=True,
    )


def write(root: Path, built: Path, out: Path) -> int:
    """Print the book rendered in ``built`` into the file ``out``; returns the number of pages.

    Raises BookError when the book is not rendered, there is no Chromium, or it fails; ``out`` is
    then unchanged.
    """
    whole, lines = compose(root, built.resolve())
    out.parent.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix=".pdf-", dir=out.parent) as folder, _tab() as tab:
        source = Path(folder).resolve() / "book.html"
        source.write_text(whole, encoding="utf-8")
        tab.goto(source.as_uri())
        tab.evaluate(_READY)
        for _ in range(_PRINTED):
            tab.evaluate(
                "text => { document.querySelector('.gb-contents').outerHTML = text; }",
                contents(lines, numbers),
            )
            data = _printed(tab)
            former, numbers = numbers, page_numbers(data)
            if numbers == former:
                break
        else:
            raise BookError("the page numbers of the contents did not settle: report this")
        printed = Path(folder) / out.name
        pages = _bound(data, lines, numbers, printed)
        printed.replace(out)
    return pages
