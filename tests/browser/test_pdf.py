"""The whole book as a PDF, printed by the real Chromium: whole, numbered, linked."""

import re
import unicodedata

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from gpubook.book import pdf
from tests.conftest import ROOT, gpubook

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def printed(chromium, built_book):
    """The PDF as ``gpubook pdf`` printed it, and its pages' texts without blanks."""
    done = gpubook("pdf")
    assert done.returncode == 0, done.stdout + done.stderr
    out = built_book.parent / "gpu-container.pdf"
    texts = [_squeezed(page.extract_text()) for page in PdfReader(out).pages]
    assert f"The book on {len(texts)} pages" in done.stdout
    return out, texts


@pytest.fixture(scope="module")
def lines(built_book):
    """What the contents list."""
    return pdf.compose(ROOT, built_book)[1]


_ADDED = ".math, svg, a.external"
"""Paragraphs with these have more on paper than on the screen: formulas' parts, addresses."""


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))  # "ﬁ" is "fi"


def test_no_page_is_blank_and_each_has_its_number(printed):
    _, texts = printed
    for number, text in enumerate(texts, start=1):
        assert text.endswith(str(number))
        assert len(text) > 40, f"page {number} is blank"


def test_the_contents_name_each_page_and_section_with_the_page_where_it_is(printed, lines):
    out, texts = printed
    tops = [item for item in PdfReader(out).outline if not isinstance(item, list)]
    assert [item.title for item in tops] == [line.title for line in lines if line.level == 1]
    numbers = pdf.page_numbers(out.read_bytes())
    first = numbers[next(line.anchor for line in lines if line.level == 1)]
    contents = "".join(texts[1 : first - 1])
    for line in lines:
        title = _squeezed(line.title)
        assert title in contents
        if line.level:
            number = numbers[line.anchor]
            assert f"{title}{number}" in contents
            assert title in texts[number - 1], line


def test_links_stay_inside_the_book_or_lead_to_a_server(printed, lines):
    out, _ = printed
    inside, outside = 0, []
    for page in PdfReader(out).pages:
        for note in page.get("/Annots", ()):
            note = note.get_object()
            if "/Dest" in note or note.get("/A", {}).get("/S") == "/GoTo":
                inside += 1
            elif "/A" in note:
                outside.append(note["/A"]["/URI"])
    assert inside > len(lines)
    assert outside
    assert [url for url in outside if not re.match("https?://", url)] == []


def test_the_text_of_every_page_of_the_book_is_in_it_and_so_are_the_words_of_its_figures(
    printed, built_book
):
    _, texts = printed
    whole = "".join(texts)
    for _, documents in pdf.chapters(ROOT):
        for document in documents:
            soup = BeautifulSoup(
                (built_book / f"{document}.html").read_text("utf-8"), "html.parser"
            )
            article = soup.select_one("article.bd-article")
            wanted = [p.get_text() for p in article.select("p") if not p.select(_ADDED)]
            wanted = [_squeezed(text) for text in wanted if len(text) > 40]
            missing = [text for text in wanted if text[:30] not in whole]
            assert len(missing) <= len(wanted) // 20, f"{document}: {missing[:3]}"
            for figure in article.select(".gb-figure svg, .gb-drawing svg"):
                words = [_squeezed(t.get_text()) for t in figure.select("text")]
                found = sum(word in whole for word in words)
                assert found >= len(words) / 2, f"{document}: {figure.get('aria-label')}"
