"""The whole book as Markdown, and llms.txt: all that the pages say, in order, without HTML."""

import re

import nbformat
import pytest

from gpubook.book import markdown
from gpubook.errors import BookError
from tests.unit import small_book
from tests.unit.small_book import rendered

PAGE = """<html><head><meta name="description" content="About it."></head><body>
<article class="bd-article">{}</article></body></html>"""


def _page(tmp_path, body: str, *, document="book/x", address="") -> str:
    file = tmp_path / f"{document}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PAGE.format(f"<h1>A <em>page</em></h1>{body}"), encoding="utf-8")
    return markdown.page(tmp_path, document, address).text


def test_code_keeps_its_language_and_output_has_none(tmp_path):
    code = '<div class="highlight-ipython3"><pre>if x:\n    f(`a`)</pre></div>'
    output = '<div class="output"><div class="highlight-myst-ansi"><pre>1  *2*</pre></div></div>'
    text = _page(tmp_path, code + output)
    assert "````python\nif x:\n    f(`a`)\n````" in text
    assert "````\n1  *2*\n````" in text


def test_a_command_has_its_prompt_and_a_recording_its_banner(tmp_path):
    step = '<div class="gb-evidence"><b>RECORDED</b> version: on h100</div>'
    command = '<span class="gb-command">docker version</span>'
    step += f'<div class="gb-terminal"><pre>{command}\n29</pre></div>'
    text = _page(tmp_path, step)
    assert text.index("**RECORDED** version: on h100") < text.index("$ docker version\n29")


def test_tables_formulas_drawings_and_folded_boxes_are_text(tmp_path):
    table = "<table><thead><tr><th>A</th></tr></thead><tbody><tr><td>1 GB</td></tr></tbody></table>"
    formula = r'<p>so <span class="math">\(2n^3\)</span></p><div class="math">\[x_i\]</div>'
    drawing = '<svg role="img" aria-label="A chain."><title>t</title><text>no</text></svg>'
    folded = "<details><summary>Solution 1</summary><p>Because.</p></details>"
    text = _page(tmp_path, table + formula + drawing + folded)
    assert "| A |\n| --- |\n| 1 GB |" in text
    assert "so $2n^3$" in text
    assert "$$x_i$$" in text
    assert "[Figure: A chain.]" in text
    assert "no" not in re.findall(r"\w+", text)
    assert "**Solution 1**\n\nBecause." in text


def test_what_works_on_a_screen_only_is_left_out(tmp_path):
    screen = '<button>Copy</button><script>f()</script><a class="headerlink" href="#x">#</a>'
    tabs = '<div class="gb-machines"><fieldset><label>H100</label></fieldset><p>kept</p></div>'
    chooser = "<form hidden><label>Card<select><option>H100</option></select></label></form>"
    text = _page(tmp_path, screen + chooser + tabs)
    assert text.split() == ["#", "A", "*page*", "kept"]


@pytest.mark.parametrize(
    ("link", "relative"),
    [
        ("y.html#z", "book/y.html#z"),
        ("../notebooks/n.html", "notebooks/n.html"),
        ("#z", "book/x.html#z"),
    ],
)
def test_links_lead_from_the_folder_of_the_book_or_from_its_address(tmp_path, link, relative):
    body = f'<p><a href="{link}">t</a> <a href="https://other.example.org/">o</a></p>'
    assert _page(tmp_path, body).endswith(f"[t]({relative}) [o](https://other.example.org/)")
    served = _page(tmp_path, body, address="https://example.org/b/")
    assert f"[t](https://example.org/b/{relative})" in served


def test_a_page_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(BookError, match=r"has no page .*gone"):
        markdown.page(tmp_path, "gone")


def test_the_rendered_book_comes_with_both_files(tmp_path):
    root = small_book.make(tmp_path)
    executed = root / "_build" / "executed" / "01-x.ipynb"
    ran = nbformat.read(executed, as_version=4)
    ran.cells[-1].outputs = [nbformat.v4.new_output("stream", text="3 as it was executed\n")]
    nbformat.write(ran, executed)
    built = rendered(root).parent
    book = (built / "book.md").read_text(encoding="utf-8")
    parts = ["# Small\n", "The first text.", "# A page"]
    parts += ["````python\nprint(N)", "3 as it was executed"]
    places = [book.index(part) for part in parts]
    assert places == sorted(places)
    assert len(re.findall("^````", book, re.MULTILINE)) % 2 == 0
    index = (built / "llms.txt").read_text(encoding="utf-8")
    links = re.findall(r"\]\((.+?)\)", index)
    assert links == ["book.md", "book/intro.html", "notebooks/01-x.html"]
    assert all((built / link).is_file() for link in links)
