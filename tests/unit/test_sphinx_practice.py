"""What a page says of itself: how long it takes, and on which machine."""

from __future__ import annotations

import json

import pytest
import yaml

from gpubook.book import sphinx_practice
from gpubook.project.items import ENGINE_ITEMS, ITEMS
from tests.conftest import NOTEBOOKS, ROOT
from tests.unit.test_sphinx_ext import _notebook, _result

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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (8.4, "8 seconds"),
        (59, "59 seconds"),
        (61, "1.0 minutes"),
        (215, "3.6 minutes"),
        (1234, "21 minutes"),
    ],
)
def test_a_time_is_rounded_to_what_can_be_repeated(seconds, words):
    assert sphinx_practice.duration(seconds) == words


def test_reading_counts_every_visible_word_and_no_folded_one():
    words = "word " * 400
    assert sphinx_practice.reading_minutes(words) == 2
    assert sphinx_practice.reading_minutes(f"{words}\n```shell\n{words}\n```") == 4
    assert sphinx_practice.reading_minutes("short") == 1
    output = {"data": {"text/plain": ["printed"]}}
    cell = {"metadata": {}, "source": ["code"], "outputs": [output]}
    folded = cell | {"metadata": {"tags": ["hide-cell"]}}
    unasked = cell | {"metadata": {"tags": ["remove-input"]}}
    assert sphinx_practice.visible_text([cell]).split() == ["code", "printed"]
    assert sphinx_practice.visible_text([folded, unasked]).split() == ["printed"]


def note(result, text=""):
    return sphinx_practice.time_note(result, text)["source"]


def test_the_note_says_how_long_on_which_machine_and_how_much_was_live():
    result = _result("01-x", ("live", "a", "here"), ("recorded", "b", "h100"), finished=90.0)
    said = note(result, "word " * 1000)
    assert "1.5 minutes when this page was made (on A processor, 2 cores, no GPU)" in said
    assert "1 of its 2 results were measured then" in said
    assert "about 5 minutes" in said


def test_the_note_names_the_gpu_where_one_was():
    result = _result("01-x", ("live", "a", "here"))
    machine = result["evidences"][0]["record"]["provenance"]["machine"]
    machine["gpus"] = [{"name": "NVIDIA H100 80GB HBM3"}]
    said = note(result)
    assert "(on NVIDIA H100 80GB HBM3)" in said
    assert "no GPU" not in said


def test_where_nothing_was_measured_no_machine_is_named():
    said = note(_result("01-x", ("recorded", "b", "h100")))
    assert "when this page was made. 0 of its 1 results" in said


def test_the_note_comes_below_the_title():
    cells = json.loads(sphinx_practice.with_time_note(_notebook(), None))["cells"]
    assert [cell["cell_type"] for cell in cells[:3]] == ["markdown", "markdown", "code"]
    assert "How long it takes" in cells[1]["source"]
    assert "Computing" not in cells[1]["source"], "it was not executed"


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
