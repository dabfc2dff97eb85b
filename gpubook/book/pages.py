"""The rendered pages in the order of the table of contents: what PDF and Markdown are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gpubook.errors import BookError


def chapters(root: Path) -> list[tuple[str, list[str]]]:
    """The book's parts with their pages; the first page is a part without a name."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = toc.get("parts") or [{"caption": "", "chapters": toc.get("chapters", [])}]
    named = [(p.get("caption", ""), [c["file"] for c in p["chapters"]]) for p in parts]
    return [("", [toc["root"]]), *named]


def parsed(built: Path, document: str) -> tuple[Any, Any]:
    """A rendered page, and the element that holds its text. BookError where there is none."""
    from bs4 import BeautifulSoup

    file = built / f"{document}.html"
    if not file.is_file():
        raise BookError(f"the book has no page {file}: run `make book`")
    soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    if article is None:
        raise BookError(f"{file} is no rendered page: run `make book`")
    return soup, article
