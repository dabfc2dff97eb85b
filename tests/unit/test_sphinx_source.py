"""A library name in a cell is a link to its source."""

import re

import pytest

from gpubook.book import sphinx_source
from gpubook.evidence import Page, figure
from gpubook.matmul import products
from tests.conftest import NOTEBOOKS, ROOT


def line_of(file, text):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return 1 + next(n for n, line in enumerate(lines) if line.startswith(text))


@pytest.mark.parametrize(
    ("thing", "attributes", "file", "text"),
    [
        (products, ["measure_all"], "gpubook/matmul/products.py", "def measure_all("),
        (products, ["SLOW_N"], "gpubook/matmul/products.py", "SLOW_N ="),
        (products, [], "gpubook/matmul/products.py", ""),
        (figure, [], "gpubook/evidence/display.py", "def figure("),
        (Page, ["finish"], "gpubook/evidence/page.py", "    def finish("),
    ],
)
def test_a_name_leads_to_its_definition(thing, attributes, file, text):
    path, line = sphinx_source.place(thing, attributes)
    assert path.as_posix() == file
    assert line == line_of(file, text)


def test_what_is_not_the_librarys_has_no_place():
    assert sphinx_source.place(re, ["compile"]) is None
    assert sphinx_source.place(products, ["torch"]) is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_import_of_a_notebook_has_a_source(name):
    names = sphinx_source.bindings(ROOT / "notebooks" / f"{name}.ipynb")
    assert names["page"] is Page
    for thing in names.values():
        assert sphinx_source.place(thing, []) is not None


def test_only_code_in_cells_is_linked():
    name = '<span class="n">products</span>'
    cell = f'<div class="cell_input docutils"><pre>{name}<span class="o">.</span>'
    cell += '<span class="n">measure_all</span>()</pre></div>'
    body = sphinx_source.linked(f"<p>{name}</p>{cell}", {"products": products}, "../")
    assert body.startswith(f"<p>{name}</p>")
    (target,) = re.findall(r'href="([^"]+)"', body)
    line = line_of("gpubook/matmul/products.py", "def measure_all(")
    assert target == f"../source/gpubook/matmul/products.html#L-{line}"


def test_a_rendered_source_has_the_line_that_a_link_names():
    path, line = sphinx_source.place(products, ["measure_all"])
    assert f'id="L-{line}"' in sphinx_source.rendered(path)
