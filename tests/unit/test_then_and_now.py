"""What moved since 2023 is summed up on one page, which leads to where it is taught."""

import re

import pytest

from tests.conftest import ROOT

NOTE = re.compile(r"2023 → now")
PAGE = (ROOT / "book/then-and-now.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for path in (*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb"))
    if NOTE.search(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_that_sums_up_leads_to_every_note(path):
    link = path.name if path.parent.name == "book" else f"../notebooks/{path.name}"
    assert f"]({link})" in PAGE


def test_each_of_its_sections_leads_to_a_page_that_shows_it_and_names_its_sources():
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:-2]
    assert len(sections) >= 4
    for section in sections:
        assert "../notebooks/" in section, section[:40]
        assert "*Sources: " in section, section[:40]
