"""The whole book as one document: ids, links, contents; and what happens without a browser."""

from pathlib import Path

import pytest

from gpubook.book import pdf
from gpubook.errors import BookError

PAGE = """<html><head><script>window.MathJax = {}</script></head><body>
<article class="bd-article"><section id="top"><h1>Title<a class="headerlink" href="#top">#</a></h1>
<section id="part"><h2>Part <code>x</code></h2>
<p><a href="#part">here</a> <a href="other.html#top">there</a> <a href="../a/none.html">none</a>
<a href="https://example.org/">out</a></p>
<details><summary>S</summary>folded</details>
<svg><defs><g id="g"></g></defs><use xlink:href="#g"></use><path clip-path="url(#g)"></path></svg>
<script>bad()</script></section></section></article></body></html>"""


@pytest.fixture
def built(tmp_path) -> Path:
    toc = "root: a/one\nparts: [{caption: P, chapters: [{file: a/other}]}]\n"
    (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
    (tmp_path / "_config.yml").write_text("title: T & C\nauthor: us\n", encoding="utf-8")
    (tmp_path / "html" / "a").mkdir(parents=True)
    for name in ("one", "other"):
        (tmp_path / "html" / "a" / f"{name}.html").write_text(PAGE, encoding="utf-8")
    return tmp_path / "html"


def test_pages_become_one_document_whose_links_stay_inside(built):
    whole, lines = pdf.compose(built.parent, built)
    for part in ('id="a-one--part"', 'href="#a-one--part"', 'href="#a-other--top"'):
        assert part in whole
    assert whole.count('id="a-one--part"') == 1
    assert 'href="https://example.org/"' in whole
    assert "none.html" not in whole
    assert "bad()" not in whole
    assert whole.count('<details open="">') == 2
    assert 'xlink:href="#a-one--g"' in whole
    assert 'clip-path="url(#a-one--g)"' in whole
    assert "<title>T &amp; C</title>" in whole
    assert [(line.level, line.title, line.anchor) for line in lines] == [
        (1, "Title", "a-one"),
        (2, "Part x", "a-one--part--title"),
        (0, "P", ""),
        (1, "Title", "a-other"),
        (2, "Part x", "a-other--part--title"),
    ]


def test_the_contents_lead_to_each_place_and_tell_its_page(built):
    _, lines = pdf.compose(built.parent, built)
    markup = pdf.contents(lines, {"a-one": 3})
    assert markup.count('<a href="#a-one">') == 1
    assert '<span class="gb-number">3</span>' in markup


def test_a_book_that_is_not_rendered_is_one_line(built):
    (built / "a" / "other.html").unlink()
    with pytest.raises(BookError, match=r"no page .*other\.html: run `make book`"):
        pdf.write(built.parent, built, built.parent / "out.pdf")
    assert not (built.parent / "out.pdf").exists()


class _None:
    class chromium:
        executable_path = "/nowhere/chrome"


def test_without_a_chromium_one_line_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BookError, match=r"no Chromium .*apt-get install chromium"):
        pdf.browser_path(_None)
    chrome = tmp_path / "google-chrome"
    chrome.write_text("#!/bin/sh\n", encoding="utf-8")
    chrome.chmod(0o755)
    assert pdf.browser_path(_None) == str(chrome)
