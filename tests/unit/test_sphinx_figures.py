"""The drawings: sound sources, a text for each, steps that the style sheet knows."""

import csv
import json
import re
from xml.etree import ElementTree

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import directives

from gpubook.book import sphinx_figures
from gpubook.evidence.display import inline_svg
from tests.conftest import ROOT

FIGURES = sorted((ROOT / "book" / "figures").glob("*.svg"))
STYLE = "".join(
    (ROOT / "book" / "_static" / name).read_text(encoding="utf-8")
    for name in ("gpubook.css", "figures.css")
)
SVG = "{http://www.w3.org/2000/svg}"


def pages() -> str:
    """The text of all pages: prose, and the Markdown cells of notebooks."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                texts.append("".join(cell["source"]))
    return "\n".join(texts)


def classes(element) -> list[str]:
    return element.get("class", "").split()


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_drawing_takes_the_pages_colours_and_fits_a_telephone(path):
    root = ElementTree.parse(path).getroot()
    _, _, width, height = (float(n) for n in root.get("viewBox").split())
    assert width <= 340
    for element in root.iter():
        for name in ("fill", "stroke", "style", "color", "font-size"):
            value = element.get(name, "")
            assert not re.search(r"#|rgb|px", value), f"{name}={value} in {path.name}"
        for name in classes(element):
            assert f".{name}" in STYLE, f"{path.name}: no rule for the class {name}"
        if element.tag == f"{SVG}rect":
            assert float(element.get("x")) + float(element.get("width")) <= width
            assert float(element.get("y")) + float(element.get("height")) <= height


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_drawing_is_on_a_page(path):
    assert f"figures/{path.name}" in pages()


def test_the_style_sheet_has_rules_for_every_step_and_no_more():
    for word, last in (("from", 8), ("until", 7), ("at", 8)):
        found = {int(n) for n in re.findall(rf"\.{word}-(\d+)\b", STYLE)}
        assert found == set(range(2 if word == "from" else 1, last + 1))
    assert sphinx_figures.MOST_STEPS == 8


def test_ids_are_the_drawings_own_and_its_text_is_escaped():
    svg = '<?xml version="1.0"?><svg><!-- note --><g id="a"/><path marker-end="url(#a)"/></svg>'
    markup = inline_svg(svg, name="chain", alt='from "a" to <b>')
    assert 'aria-label="from &quot;a&quot; to &lt;b&gt;"' in markup
    assert 'id="chain-a"' in markup
    assert "url(#chain-a)" in markup
    assert "note" not in markup


def test_the_steps_of_a_drawing_are_found_in_its_classes():
    svg = '<svg><g class="box from-2 at-2"/><g class="until-12"/><g class="from-x"/></svg>'
    assert sphinx_figures.step_classes(svg) == {2, 12}


# The directives, in a document of their own


class Environment:
    """What a directive asks Sphinx for."""

    def __init__(self, folder):
        self.folder = folder

    def relfn2path(self, name):
        return name, str(self.folder / name)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function from reStructuredText to the tree of a document with our directives."""
    drawing = '<svg viewBox="0 0 9 9"><g class="from-2 until-2"/><g class="from-3"/></svg>'
    (tmp_path / "a.svg").write_text(drawing, encoding="utf-8")
    (tmp_path / "b.svg").write_text(drawing, encoding="utf-8")
    monkeypatch.setattr(sphinx_figures._Diagram, "env", Environment(tmp_path))
    directives.register_directive("gpubook-diagram", sphinx_figures._Diagram)
    directives.register_directive("gpubook-steps", sphinx_figures._Steps)
    return lambda text: publish_doctree(text, settings_overrides={"report_level": 5})


STEPS = """
.. gpubook-steps:: a.svg b.svg
   :title: It <happens>
   :alt: the first
         the second

   1. One
   2. Two
   3. Three

   A caption.
"""


def problems(document) -> str:
    return " ".join(node.astext() for node in document.findall(nodes.system_message))


def test_a_stepped_figure_has_a_button_and_a_caption_for_each_step(made):
    document = made(STEPS)
    assert problems(document) == ""
    markup = "".join(node.astext() for node in document.findall(nodes.raw))
    assert re.findall(r'<input[^>]*value="(\d)"', markup) == ["1", "2", "3"]
    assert re.findall(r'value="(\d)"[^>]*checked', markup) == ["3"], "opens with the last step"
    assert "<legend>It &lt;happens&gt;</legend>" in markup
    assert re.findall(r'aria-label="(the [^"]+)"', markup) == ["the first", "the second"]
    (steps,) = document.findall(nodes.enumerated_list)
    described = re.findall(r'aria-describedby="([^"]+)"', markup)
    assert described == [item["ids"][0] for item in steps.children]
    assert "A caption." in document.astext()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("         the second\n", "", "a line for each file, so 2, not 1"),
        ("   :title: It <happens>\n", "", "needs :title:"),
        ("   1. One\n   2. Two\n   3. Three\n", "   Words.\n", "numbered list"),
        ("   3. Three\n", "", "names step 3, the list has 2"),
        ("   2. Two\n   3. Three\n", "", "2 to 8 steps, not 1"),
        ("b.svg", "c.svg", "no diagram c.svg"),
    ],
)
def test_what_is_missing_in_a_stepped_figure_is_said(made, old, new, said):
    assert old in STEPS
    assert said in problems(made(STEPS.replace(old, new)))


def test_a_diagram_without_its_text_is_an_error(made):
    assert "so 1, not 0" in problems(made(".. gpubook-diagram:: a.svg\n"))


# Figures in words and figures in the library


def test_the_table_of_memories_says_what_the_table_of_peaks_says():
    peaks = json.loads((ROOT / "gpubook/matmul/peaks.json").read_text(encoding="utf-8"))
    (h100,) = [row for row in peaks if row["name"] == "H100 SXM"]
    with (ROOT / "book/figures/gpu-memory.csv").open(encoding="utf-8") as file:
        rows = {row["Memory"]: row for row in csv.DictReader(file)}
    assert f"{h100['bandwidth'] / 1e9:,.0f} GB/s" == rows["Device memory (HBM3)"]["Bandwidth"]
    assert f"each of {h100['sms']} multiprocessors" in rows["Registers"]["Size"]
    references = (ROOT / "book/references.md").read_text(encoding="utf-8").lower()
    for row in rows.values():
        for source in row["Source"].lower().split("; "):
            assert f"[{source}]" in references, source
