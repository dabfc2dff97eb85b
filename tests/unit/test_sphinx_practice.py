"""What a page says of itself: how long it takes, and on which machine."""

import json

import pytest
import yaml

from gpubook.project.items import ENGINE_ITEMS, ITEMS
from tests.conftest import NOTEBOOKS, ROOT

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PARTS = {part["caption"]: [c["file"] for c in part["chapters"]] for part in TOC["parts"]}
REFERENCE = {*PARTS["Reference"]} - {"book/then-and-now"}
PAGES = [TOC["root"], *(f for files in PARTS.values() for f in files if f not in REFERENCE)]


def text_of(page: str) -> str:
    if page.startswith("book/"):
        return (ROOT / f"{page}.md").read_text(encoding="utf-8")
    cells = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_what_it_takes_and_ends_with_where_to_go(page):
    text = text_of(page)
    order = ["What you will learn", "What you need", "Before this:", "## Summary", "## What next"]
    places = [text.find(part) for part in order]
    assert -1 not in places, [part for part, at in zip(order, places, strict=True) if at < 0]
    assert places[0] < places[2] < places[3] < places[4]
    before = text[places[2] : places[2] + 300].split("\n\n")[0]
    assert "](" in before or "nothing" in before, "what comes before is linked"
    assert "](" in text[places[4] :], "what comes next is linked"


@pytest.mark.parametrize("page", PAGES)
def test_times_are_measured_and_never_typed(page):
    text = text_of(page)
    opening = text[: text.find("\n## ")]
    for word in ("minute of", "minutes of", "half an hour", "quarter of an hour"):
        assert word not in opening
    if page.startswith("book/"):
        assert ("{gpubook-reading}" in text) or ("{gpubook-took}" in text)


def test_the_rendered_checklist_is_the_commands(built_book):
    page = (built_book / "book" / "project.html").read_text(encoding="utf-8")
    listed = page[page.index("gb-checklist") :]
    places = [listed.index(f">{id_}<") for id_ in ITEMS]
    assert places == sorted(places)
    assert listed.count("Takes a Docker Engine.") == len(ENGINE_ITEMS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_rendered_notebook_has_its_time_and_folds_its_solutions_by_name(built_book, name):
    page = (built_book / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    assert page.count("gb-took") == 1
    assert "when this page was made" in page
    exercises = text_of(f"notebooks/{name}").count("**Exercise ")
    for n in range(1, exercises + 1):
        assert page.count(f">Solution of exercise {n}</span></summary>") == 1
    assert "Toggle hidden content" not in page
