"""Notebooks as files: what contributors must keep, and what parameters can be."""

import ast
import json
import re
import statistics

import pytest

from gpubook.book import notebooks
from gpubook.errors import BookError, UsageError
from tests.conftest import NOTEBOOKS, ROOT
from tests.unit import tiny_book

FOLDER = ROOT / "notebooks"


def cells(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def code(name):
    return [cell for cell in cells(name) if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def test_every_notebook_is_in_the_table_of_contents_and_the_other_way_round():
    listed = re.findall(r"file: notebooks/(\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stripped_and_its_cells_have_stable_ids(name):
    content = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in code(name):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_opens_with_its_goals_and_its_needs(name):
    first = source(cells(name)[0])
    assert first.startswith("# ")
    opening = first + "".join(source(cell) for cell in cells(name)[:4])
    assert "What you will learn" in opening
    assert "What you need" in opening


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_parameters_are_commented_literals_with_require_among_them(name):
    loaded = notebooks.load(FOLDER / f"{name}.ipynb")
    assert loaded.parameters["REQUIRE"] == ""
    (cell,) = [c for c in code(name) if "parameters" in c["metadata"].get("tags", [])]
    for line in source(cell).splitlines():
        assert "#" in line, f"{name}: {line} has no comment"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_is_opened_under_its_own_name_and_finished_last(name):
    assert any(f'Page("{name}"' in source(cell) for cell in code(name))
    assert source(code(name)[-1]).strip() == "page.finish()"


def test_cells_are_short():
    lengths = {  # blank: no line
        name: [sum(map(bool, source(cell).splitlines())) for cell in code(name)]
        for name in NOTEBOOKS
    }
    assert statistics.median([n for page in lengths.values() for n in page]) <= 4
    for name, page in lengths.items():
        assert statistics.median(page) <= 6, name  # a page whose lesson is a loop
    for name in NOTEBOOKS:
        for cell in code(name):
            limit = 45 if cell["id"] == "setup" else 20  # it is folded, with what draws tables
            assert sum(map(bool, source(cell).splitlines())) <= limit, (name, cell["id"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_hides_a_failure(name):
    for cell in code(name):
        assert "raises-exception" not in cell["metadata"].get("tags", [])
        text = source(cell)
        if text.startswith("%%"):
            continue
        for node in ast.walk(ast.parse(text)):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), text
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"exit", "quit", "sys.exit", "os._exit"}, text


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "512", 512),
        (3, "-1", -1),
        (0.5, "2", 2.0),
        ("x", "512", "512"),
        (True, "false", False),
        ([1], "[1, 2]", [1, 2]),
    ],
)
def test_a_value_takes_the_type_of_its_default(default, text, value):
    converted = notebooks.convert("P", text, default)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("default", "text"),
    [(3, "x"), (3, "2.5"), (3, "True"), (0.5, "fast"), (True, "1"), ([1], "1"), (3, "")],
)
def test_a_value_of_another_type_is_misuse(default, text):
    with pytest.raises(UsageError, match="parameter P must be"):
        notebooks.convert("P", text, default)


@pytest.mark.parametrize(
    "cell", ["n = 1", "N = 1 + M", "N = len('x')", "import os", "N: int = 1", "N = M = 1"]
)
def test_a_parameters_cell_holds_nothing_but_literals(tmp_path, cell):
    book = tiny_book.make(tmp_path)
    path = tiny_book.add(book, "01-x", parameters=cell)
    with pytest.raises(BookError):
        notebooks.load(path)


def test_a_file_that_is_no_notebook_is_one_line(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(BookError, match="is not a notebook"):
        notebooks.load(path)


def test_notebooks_that_wait_for_each_other_are_an_error(tmp_path):
    book = tiny_book.make(tmp_path)
    tiny_book.add(book, "01-a", after=["02-b"])
    tiny_book.add(book, "02-b", after=["01-a"])
    with pytest.raises(BookError, match="wait for each other"):
        notebooks.with_dependencies(book, notebooks.find(book))
