"""Pages that are up to date are kept; a stand-in for Sphinx counts how often it is asked."""

from types import SimpleNamespace

import pytest

from gpubook.book import render

FILES = {
    "_config.yml": "title: A book",
    "_toc.yml": "root: book/intro",
    "book/intro.md": "# Intro",
    "recordings/h100/x.json": "{}",
    "_build/executed/01-x.ipynb": "{}",
    "_build/results/01-x.json": "{}",
}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book's files, what renders them, and how often Sphinx was asked to."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    this = SimpleNamespace(root=tmp_path, html=tmp_path / "_build" / "html", renderings=0)

    def sphinx(root, executed, stage, *, log):
        this.renderings += 1
        (stage / "html").mkdir()
        (stage / "html" / "page.html").write_text("a page", encoding="utf-8")
        return stage / "html"

    monkeypatch.setattr(render, "_sphinx", sphinx)
    executed = tmp_path / "_build" / "executed"
    monkeypatch.setattr(render.markdown, "write", lambda *_, **__: None)
    this.render = lambda **settings: render.render(
        tmp_path, executed=executed, out=this.html, settings=settings
    )
    this.render()
    return this


def test_unchanged_pages_are_not_rendered_again(book):
    assert book.render() == book.html / "index.html"
    assert book.renderings == 1
    (book.root / ".git").mkdir()
    (book.root / ".git" / "index").write_text("of no page", encoding="utf-8")
    (book.root / "_build" / "render.log").write_text("of no page", encoding="utf-8")
    book.render()
    assert book.renderings == 1


@pytest.mark.parametrize("name", [*FILES, "book/new.md", "_build/html/page.html"])
def test_a_changed_or_new_source_and_an_edited_page_render_the_book_again(book, name):
    (book.root / name).write_text("title: edited", encoding="utf-8")
    book.render()
    assert book.renderings == 2
    assert (book.html / "page.html").read_text(encoding="utf-8") == "a page"


def test_another_setting_renders_the_book_again(book):
    book.render(title="Another")
    book.render(title="Another")
    assert book.renderings == 2


def test_a_missing_page_and_other_packages_render_the_book_again(book, monkeypatch):
    (book.html / "page.html").unlink()
    book.render()
    assert book.renderings == 2
    monkeypatch.setattr(render.cache, "packages", lambda: "others")
    book.render()
    assert book.renderings == 3


def test_the_librarys_own_code_and_data_count_as_sources(book, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(render.cache, "_PACKAGE", tmp_path / "elsewhere")
    book.render()
    assert book.renderings == 2
