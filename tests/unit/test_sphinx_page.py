"""What is around a page: descriptions, old addresses; and what only pages on a server have."""

import json
import re

import pytest
from bs4 import BeautifulSoup
from sphinx.errors import ExtensionError

from gpubook.book.render import RenderError, configuration, render
from gpubook.book.sphinx_page import REDIRECTS, redirect_page, redirects
from gpubook.errors import UsageError
from tests.conftest import ROOT
from tests.unit import small_book as small
from tests.unit.small_book import CONFIG, rendered

ADDRESS = "https://books.example.org/gpu/"


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


def _config(root, more: str = "") -> None:
    lists = "gpubook.book.sphinx_ext, gpubook.book.sphinx_page"
    text = CONFIG.replace("gpubook.book.sphinx_ext", lists) + more
    (root / "_config.yml").write_text(text, encoding="utf-8")


def _head(page) -> dict[str, str]:
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    tags = soup.head.select("meta[content]")
    return {str(tag.get("property") or tag.get("name")): str(tag["content"]) for tag in tags}


SERVED = f"""
html: {{baseurl: "{ADDRESS.rstrip("/")}"}}
repository: {{url: "https://github.com/example/book", branch: v1.2.3}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The pages of a small book for a server, with an old address and both launchers."""
    root = small.make(tmp_path_factory.mktemp("served"))
    _config(
        root,
        SERVED + "launch_buttons: {notebook_interface: jupyterlab, "
        'binderhub_url: "https://binder.example.org", jupyterhub_url: "https://hub.example.org"}\n',
    )
    (root / REDIRECTS).write_text('old.html: {"": book/intro.html}\n', encoding="utf-8")
    return rendered(root).parent


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """The pages of a small book without an address."""
    root = small.make(tmp_path_factory.mktemp("offline"))
    _config(root, 'html: {baseurl: ""}\n')
    return rendered(root).parent


def test_pages_for_a_server_have_a_sitemap_addresses_and_a_picture(served):
    for document in ("book/intro", "notebooks/01-x"):
        head = _head(served / f"{document}.html")
        assert head["og:url"] == f"{ADDRESS}{document}.html"
        assert head["og:site_name"] == "Small"
        assert head["twitter:card"] == "summary_large_image"
        picture = head["og:image"].removeprefix(ADDRESS)
        assert (served / picture).read_bytes().startswith(b"\x89PNG")
    assert _head(served / "book" / "intro.html")["description"] == "The first text."
    sitemap = (served / "sitemap.xml").read_text(encoding="utf-8")
    pages = {f"{ADDRESS}book/intro.html", f"{ADDRESS}notebooks/01-x.html"}
    assert sorted(re.findall("<loc>(.*?)</loc>", sitemap)) == sorted(pages)
    assert "url=book/intro.html" in (served / "old.html").read_text(encoding="utf-8")


def test_without_an_address_pages_have_a_description_and_nothing_that_needs_one(offline):
    head = _head(offline / "book" / "intro.html")
    assert head["description"] == head["og:description"] == "The first text."
    assert not head.keys() & {"og:url", "og:image", "twitter:card"}
    assert not (offline / "sitemap.xml").exists()
    assert not list(offline.rglob("social_previews")), "no picture that nothing shows"
    assert "launch-buttons" not in (offline / "notebooks" / "01-x.html").read_text(encoding="utf-8")


def test_an_old_address_that_leads_nowhere_leaves_the_former_pages(offline):
    small_book = offline.parents[1]
    (small_book / REDIRECTS).write_text('old.html: {"": gone.html}\n', encoding="utf-8")
    with pytest.raises(RenderError, match=r"gone\.html, which is no page"):
        rendered(small_book)
    (small_book / REDIRECTS).unlink()
    assert (offline / "book" / "intro.html").is_file()


def test_launch_links_open_the_notebook_of_this_version_and_are_on_notebooks_only(served):
    links = {}
    for document in ("book/intro", "notebooks/01-x"):
        soup = BeautifulSoup((served / f"{document}.html").read_text("utf-8"), "html.parser")
        menu = soup.select(".dropdown-launch-buttons a")
        links[document] = {a.get_text(strip=True): a["href"] for a in menu}
        local = [i["src"] for i in soup.select(".dropdown-launch-buttons img")]
        assert all(
            (served / document).parent.joinpath(src.split("?")[0]).is_file() for src in local
        )
    notebook = "lab/tree/notebooks/01-x.ipynb"
    assert links == {
        "book/intro": {},
        "notebooks/01-x": {
            "Binder": f"https://binder.example.org/v2/gh/example/book/v1.2.3?urlpath={notebook}",
            "JupyterHub": f"https://hub.example.org/hub/user-redirect/{notebook}",
        },
    }


def test_a_service_that_cannot_run_the_notebooks_is_refused_in_one_line(small_book):
    colab = 'launch_buttons: {colab_url: "https://colab.example.org"}\n'
    _config(small_book, SERVED + colab)
    with pytest.raises(RenderError, match="colab_url cannot run the notebooks"):
        rendered(small_book)


def test_a_setting_of_one_build_takes_the_place_of_the_files(offline):
    root = offline.parents[1]
    executed, out = root / "_build" / "executed", root / "_build" / "served"
    render(root, executed=executed, out=out, settings={"html.baseurl": ADDRESS})
    assert _head(out / "book" / "intro.html")["og:url"] == f"{ADDRESS}book/intro.html"
    assert f"]({ADDRESS}book/intro.html)" in (out / "llms.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["html.base", "html", "html.baseurl.x", "sphinx.config"])
def test_a_setting_that_there_is_not_is_one_line(small_book, name):
    _config(small_book, 'html: {baseurl: ""}\n')
    with pytest.raises(UsageError, match=f"has no setting {re.escape(name)}"):
        configuration(small_book, {name: "x"})


def test_all_that_a_served_book_needs_can_be_set_for_one_build():
    names = ("html.baseurl", "repository.url", "repository.branch")
    names += ("launch_buttons.binderhub_url", "launch_buttons.jupyterhub_url")
    assert configuration(ROOT, dict.fromkeys(names, "x"))["repository"]["url"] == "x"
