"""One tiny notebook, executed and judged: part of `make check`, whatever changed."""

from tests.conftest import gpubook
from tests.unit import tiny_book


def test_an_executed_notebook_leaves_its_page_its_results_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.delenv("REQUIRE", raising=False)
    book = tiny_book.make(tmp_path / "book")
    tiny_book.add(book, "01-square", '%%measure square\n{"n": N, "square": N * N}')
    done = gpubook("run", cwd=book)
    assert done.returncode == 0, done.stderr
    assert "01-square  executed in" in done.stdout
    assert tiny_book.outputs(book) == ["executed/01-square.ipynb", "results/01-square.json"]
    assert tiny_book.data(book, "01-square", "square") == {"n": 3, "square": 9}
