"""What moved since 2023 is said where it moved, and the page that sums it up leads there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import NOTEBOOKS, ROOT

NOTE = re.compile(r"{admonition} 2023 → now(?:\\n|\n)")
PAGES = sorted(
    path
    for path in (*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb"))
    if NOTE.search(path.read_text(encoding="utf-8"))
)


def test_every_notebook_has_a_note():
    assert set(NOTEBOOKS) <= {path.stem for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_that_sums_up_leads_to_every_note(path):
    page = (ROOT / "book/then-and-now.md").read_text(encoding="utf-8")
    link = path.name if path.parent.name == "book" else f"../notebooks/{path.name}"
    assert f"]({link})" in page
