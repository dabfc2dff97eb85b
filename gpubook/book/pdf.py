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

from gpubook.errors import BookError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PRINTED_AGAIN = 3
_PRINTING_MS = 300_000

_STYLE = """
body { margin: 0; }
.gb-chapter, .gb-contents { break-before: page; }
.gb-chapter h1 { margin-top: 0; }
.gb-title { display: flex; flex-direction: column; height: 240mm; justify-content: center; }
.gb-title h1 { border: 0; font-size: 34pt; margin: 0 0 4mm; }
.gb-title p { font-size: 13pt; margin: 0 0 2mm; }
.gb-title .gb-small { font-size: 9.5pt; margin-top: 50mm; }
.gb-contents ol { list-style: none; margin: 0; padding: 0; }
.gb-contents li { display: flex; gap: 2mm; line-height: 1.5; }
.gb-contents li a { color: inherit; text-decoration: none; }
.gb-contents li.gb-1 { font-weight: 600; margin-top: 1.4mm; }
.gb-contents li.gb-2 { font-size: 0.9em; padding-left: 7mm; }
.gb-contents li.gb-part { font-size: 1.05em; margin-top: 4mm; }
.gb-contents .gb-dots { border-bottom: 1px dotted #666; flex: 1; margin-bottom: 0.35em; }
.gb-contents .gb-number { min-width: 9mm; text-align: right; }
"""
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


def chapters(root: Path) -> list[tuple[str, list[str]]]:
    """The book's parts with their pages; the first page is a part without a name."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = toc.get("parts") or [{"caption": "", "chapters": toc.get("chapters", [])}]
    named = [(p.get("caption", ""), [c["file"] for c in p["chapters"]]) for p in parts]
    return [("", [toc["root"]]), *named]


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


def chapter(page: Path, document: str, pages: set[str]) -> tuple[Any, list[Line]]:
    """A rendered page's text for the whole document, and its lines of the contents.

    Its ids get the page's name before them, its links lead within the document, and what is
    folded is open. ``page`` is the HTML file, ``document`` its name in the table of contents.
    """
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    if article is None:
        raise BookError(f"{page} is no rendered page: run `make book`")
    for useless in article.select("script, style, button, .headerlink, .gb-machines > fieldset"):
        useless.decompose()
    for tag in article.find_all(True):
        for name, value in list(tag.attrs.items()):
            if name in ("id", "for", "aria-labelledby", "aria-describedby"):
                tag[name] = " ".join(anchor(document, word) for word in value.split())
            elif isinstance(value, str) and "url(#" in value:
                tag[name] = value.replace("url(#", f"url(#{anchor(document)}--")
        if tag.name == "details":
            tag["open"] = ""
        if tag.name == "img" and tag.get("src"):
            tag["src"] = (page.parent / unquote(tag["src"])).resolve().as_uri()
        for name in ("href", "xlink:href"):
            if tag.get(name) and not urlsplit(tag[name]).scheme:
                target = _target(document, tag[name], pages)
                if target:
                    tag[name] = f"#{target}"
                else:
                    del tag[name]
    article.name = "section"
    article["class"] = [*article.get("class", []), "gb-chapter"]
    article["id"] = anchor(document)
    lines = []
    for heading in article.find_all(["h1", "h2"]):
        above = heading.find_parent("section", id=True)
        level = int(heading.name[1])
        # A section may begin on the page before its heading, which is not left alone there: so
        # the heading gets a name of its own. A page's first heading stands for the page.
        place = anchor(document) if level == 1 and not lines else f"{above['id']}--title"
        if place != anchor(document):
            heading["id"] = place
        lines.append(Line(level, " ".join(heading.get_text().split()), place))
    return article, lines


def contents(lines: list[Line], numbers: dict[str, int]) -> str:
    """The table of contents; ``numbers`` has the page of each anchor, as far as it is known."""
    items = []
    for line in lines:
        if line.level == 0:
            items.append(f'<li class="gb-part"><strong>{html.escape(line.title)}</strong></li>')
            continue
        number = numbers.get(line.anchor, "")
        items.append(
            f'<li class="gb-{line.level}"><a href="#{line.anchor}">{html.escape(line.title)}</a>'
            f'<span class="gb-dots"></span><span class="gb-number">{number}</span></li>'
        )
    return f'<nav class="gb-contents"><h1>Contents</h1><ol>{"".join(items)}</ol></nav>'


def compose(root: Path, built: Path) -> tuple[str, list[Line]]:
    """The whole document, with ``@contents@`` where the contents go, and their lines."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    parts = chapters(root)
    pages = {document for _, documents in parts for document in documents}
    lines: list[Line] = []
    texts: list[str] = []
    styles: dict[str, None] = {}
    maths = ""
    for caption, documents in parts:
        if caption:
            lines.append(Line(0, caption))
        for document in documents:
            page = built / f"{document}.html"
            if not page.is_file():
                raise BookError(f"the book has no page {page}: run `make book`")
            article, headings = chapter(page, document, pages)
            texts.append(str(article))
            lines += headings
            styles |= dict.fromkeys(_styles(page))
            maths = maths or _maths(page)
    # The book's own style comes last, as on the pages.
    own = {file.name for file in (root / "book" / "_static").glob("*.css")}
    ordered = sorted(styles, key=lambda style: style.rpartition("/")[2] in own)
    head = "".join(f'<link rel="stylesheet" href="{style}">' for style in ordered) + maths
    title = html.escape(config["title"])
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    first = (
        f'<section class="gb-title"><h1>{title}</h1>'
        "<p>An executable book: from a plain Linux machine to training in a GPU container.</p>"
        "<p>Live where it can, recorded where it must, never silently faked.</p>"
        f'<p class="gb-small">{html.escape(config["author"])}. Printed {when}. '
        "Text, figures and recordings: CC BY 4.0. Code: MIT.</p></section>"
    )
    # The page's own classes around it, so that the style of the screen and of the paper holds.
    body = (
        '<main class="bd-main"><div class="bd-content"><div class="bd-article">'
        f"{first}@contents@{''.join(texts)}</div></div></main>"
    )
    whole = (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head}<style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    return whole, lines


def _styles(page: Path) -> list[str]:
    """The style sheets that a page loads, as addresses."""
    names = re.findall(r'<link[^>]*\bhref="([^"?]+\.css)', page.read_text(encoding="utf-8"))
    return [(page.parent / unquote(name)).resolve().as_uri() for name in names]


def _maths(page: Path) -> str:
    """What a page with formulas loads to draw them; nothing for a page without."""
    text = page.read_text(encoding="utf-8")
    setting = re.search(r"<script>window\.MathJax = .*?</script>", text)
    source = re.search(r'src="([^"]*mathjax/startup\.js)', text)
    if not setting or not source:
        return ""
    script = (page.parent / source[1]).resolve().as_uri()
    return f'{setting[0]}<script src="{script}"></script>'


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
        source.write_text(whole.replace("@contents@", contents(lines, {})), encoding="utf-8")
        tab.goto(source.as_uri())
        tab.evaluate(_READY)
        for _ in range(_PRINTED_AGAIN):
            data = tab.pdf(
                format="A4",
                print_background=False,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=_FOOTER,
                tagged=True,
                prefer_css_page_size=True,
            )
            former, numbers = numbers, page_numbers(data)
            if numbers == former:
                break
            tab.evaluate(
                "text => { document.querySelector('.gb-contents').outerHTML = text; }",
                contents(lines, numbers),
            )
        else:
            raise BookError("the page numbers of the contents did not settle: report this")
        printed = Path(folder) / out.name
        pages = _bound(data, lines, numbers, printed)
        printed.replace(out)
    return pages
