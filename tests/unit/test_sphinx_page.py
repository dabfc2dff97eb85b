"""What is around a page: descriptions, old addresses; and what only pages on a server have."""

from __future__ import annotations

import json
import re

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from sphinx.errors import ExtensionError

from gpubook.book.render import RenderError
from gpubook.book.sphinx_page import CARD, REDIRECTS, description, redirect_page, redirects, sitemap
from tests.unit.test_sphinx_ext import CONFIG, _notebook, _render, small_book  # noqa: F401

ADDRESS = "https://books.example.org/gpu/"


def _description(text: str) -> str:
    tree = publish_doctree(text)
    section = nodes.section("", *tree.children)
    tree.children = []
    tree += section
    return description(tree)


def test_a_description_is_the_first_words_and_never_longer_than_200_characters():
    assert _description("Only this.") == "Only this."
    long = "word " * 100
    assert len(_description(long)) <= 200
    assert _description(long).endswith("word…")


def test_what_will_be_learned_becomes_one_sentence():
    assert _description("**You learn**\n\n- to *see*\n- to ask\n") == "You learn: to see; to ask"


def test_an_old_address_leads_to_the_new_one_from_its_own_folder():
    page = redirect_page("old/a.html", {"": "book/b.html", "place": "notebooks/c.html#d"})
    places = json.loads(re.search(r"places = (\{.*?\});", page)[1])
    assert places == {"": "../book/b.html", "place": "../notebooks/c.html#d"}
    assert '<a href="../notebooks/c.html#d">place</a>' in page
    assert 'content="0; url=../book/b.html"' in page


@pytest.mark.parametrize("text", ["a.html: book/b.html", "a.html: {x: b.html}", 'a: {"": b.html}'])
def test_an_old_address_without_a_page_is_an_error(tmp_path, text):
    (tmp_path / "book").mkdir()
    (tmp_path / REDIRECTS).write_text(text, encoding="utf-8")
    with pytest.raises(ExtensionError, match="must be a page"):
        redirects(tmp_path)


def test_a_sitemap_has_every_page_once_in_absolute_addresses():
    found = re.findall("<loc>(.*?)</loc>", sitemap(ADDRESS, ["book/intro", "a&b"]))
    assert found == [f"{ADDRESS}a&amp;b.html", f"{ADDRESS}book/intro.html"]


@pytest.fixture
def served_book(small_book):  # noqa: F811
    """A small book for a server, with an old address and a hub."""
    more = f"""
html: {{baseurl: "{ADDRESS}"}}
repository: {{url: "https://github.com/example/book", branch: main}}
launch_buttons: {{notebook_interface: jupyterlab, jupyterhub_url: "https://hub.example.org"}}
"""
    lists = "gpubook.book.sphinx_ext, gpubook.book.sphinx_page"
    config = CONFIG.replace("gpubook.book.sphinx_ext", lists) + more
    (small_book / "_config.yml").write_text(config, encoding="utf-8")
    (small_book / REDIRECTS).write_text('old.html: {"": book/intro.html}\n', encoding="utf-8")
    return small_book


def test_pages_for_a_server_have_a_sitemap_addresses_a_picture_and_launch_buttons(served_book):
    built = _render(served_book).parent
    intro = (built / "book" / "intro.html").read_text(encoding="utf-8")
    notebook = (built / "notebooks" / "01-x.html").read_text(encoding="utf-8")
    assert f'<meta property="og:url" content="{ADDRESS}book/intro.html" />' in intro
    assert f'<meta property="og:image" content="{ADDRESS}{CARD}" />' in intro
    assert '<meta name="description" content="The first text." />' in intro
    assert f"<loc>{ADDRESS}notebooks/01-x.html</loc>" in (built / "sitemap.xml").read_text()
    assert "https://hub.example.org" in notebook
    assert (built / CARD).read_bytes().startswith(b"\x89PNG")
    assert "url=book/intro.html" in (built / "old.html").read_text(encoding="utf-8")

    (served_book / REDIRECTS).write_text('old.html: {"": gone.html}\n', encoding="utf-8")
    with pytest.raises(RenderError, match=r"gone\.html, which is no page"):
        _render(served_book)
    assert (built / "old.html").is_file(), "the former pages stay"
