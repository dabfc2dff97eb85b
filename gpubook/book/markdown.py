"""The whole book as one Markdown file, and ``llms.txt``, which says where it and the pages are.

Both are made from the rendered pages, so that they have what a reader sees: the results of the
executed notebooks, the figures that prose quotes, the tables of this build. What only a screen can
show (a drawing, a picture) is there with its description.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import yaml

from gpubook.book.pages import chapters, parsed

BOOK, INDEX = "book.md", "llms.txt"
_SCREEN_ONLY = "script, style, form, button, input, .headerlink, .gb-machines > fieldset, .gb-check"
_FENCE = "`" * 4
"""Longer than any fence that a page may show."""

_LANGUAGES = {"ipython3": "python", "none": "", "default": "", "myst-ansi": ""}
"""Sphinx's names of languages by those that Markdown's readers know; an output has none."""


@dataclass(frozen=True)
class PageText:
    """A rendered page: its document, title, description and Markdown."""

    document: str
    title: str
    description: str
    text: str


def write(root: Path, built: Path, *, address: str = "") -> None:
    """Write both files into ``built``, the folder of the rendered book at ``root``.

    Links are relative to ``built``, or absolute with the book's ``address``. Raises BookError
    when a page of the table of contents is not there.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    parts = [(caption, [page(built, d, address) for d in ds]) for caption, ds in chapters(root)]
    whole = [f"# {config['title']}"]
    for caption, pages in parts:
        whole += [f"# Part: {caption}"] if caption else []
        whole += [shown.text for shown in pages]
    (built / BOOK).write_text("\n\n".join(whole) + "\n", encoding="utf-8")
    (built / INDEX).write_text(_index(config["title"], parts, address), encoding="utf-8")


def _index(title: str, parts: list[tuple[str, list[PageText]]], address: str) -> str:
    """The text of ``llms.txt``: title, summary, then each part's pages with what they are about."""
    lines = [f"# {title}", "", f"> {parts[0][1][0].description}", ""]
    lines += [f"The whole book as one file: [{BOOK}]({urljoin(address, BOOK)})"]
    for caption, pages in parts:
        lines += ["", f"## {caption or 'Start'}", ""]
        for shown in pages:
            link = urljoin(address, f"{shown.document}.html")
            lines.append(f"- [{shown.title}]({link}): {shown.description}")
    return "\n".join(lines) + "\n"


def page(built: Path, document: str, address: str = "") -> PageText:
    """A rendered page as Markdown; ``document`` is its name in the table of contents."""
    soup, article = parsed(built, document)
    _plain(article, document, address)
    described = soup.select_one('meta[name="description"]')
    return PageText(
        document,
        " ".join(article.h1.get_text().split()),
        described["content"] if described else "",
        _converted(article),
    )


def _plain(article: Any, document: str, address: str) -> None:
    """Leave out what works on a screen only; links lead from where the whole book is."""
    for part in article.select(_SCREEN_ONLY):
        part.decompose()
    for picture in article.select("svg, img"):
        words = picture.get("alt") or picture.get("aria-label") or picture.find("title")
        described = words if isinstance(words, str) else words.get_text() if words else ""
        picture.replace_with(f"[Figure: {described.strip()}]" if described else "")
    for link in article.select("a[href]"):
        if not urlsplit(link["href"]).scheme:
            here = posixpath.join(posixpath.dirname(document), link["href"])
            path = f"{document}.html{link['href']}" if link["href"][0] == "#" else here
            link["href"] = urljoin(address, posixpath.normpath(path))
    for command in article.select(".gb-command"):
        command.insert(0, "$ ")
    for title in article.select("p.admonition-title, caption"):
        title.string = f"**{' '.join(title.get_text().split())}**"
    for formula in article.select(".math"):
        sign = "$$" if formula.name == "div" else "$"
        formula.string = sign + re.sub(r"^\\[(\[]|\\[)\]]$", "", formula.get_text().strip()) + sign


def _language(pre: Any) -> str:
    """What a block of code is written in, by the class that Sphinx gives the box around it."""
    names = [name for box in pre.parents for name in box.get("class") or ()]
    language = next((n.removeprefix("highlight-") for n in names if n.startswith("highlight-")), "")
    return _LANGUAGES.get(language, language)


def _converted(article: Any) -> str:
    from markdownify import ATX, MarkdownConverter

    class Converter(MarkdownConverter):
        """Markdown for reading as text: nothing escaped that stands in running text."""

        def convert_pre(self, element: Any, _text: str, parent_tags: set[str]) -> str:
            code = element.get_text().strip("\n")
            return f"\n\n{_FENCE}{_language(element)}\n{code}\n{_FENCE}\n\n" if code else ""

        def convert_summary(self, _element: Any, text: str, parent_tags: set[str]) -> str:
            return f"\n\n**{text.strip()}**\n\n" if text.strip() else ""

    options = {"heading_style": ATX, "bullets": "-", "escape_asterisks": False}
    text = Converter(**options, escape_underscores=False).convert_soup(article)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
