"""Links to the glossary: which words are a term's use, and which are not."""

import re

import pytest
from docutils.core import publish_doctree, publish_from_doctree

from gpubook.book.sphinx_doctor import index_entries
from gpubook.book.sphinx_text import _Fold, term_pattern
from gpubook.doctor import load


def test_a_dropdown_is_one_element_that_folds_with_its_title_and_all_its_text():
    document = publish_doctree(".. admonition:: Hint *one*\n   :class: dropdown\n\n   A\n\n   B\n")
    _Fold(document).run()
    markup = publish_from_doctree(document, writer_name="html5").decode("utf-8")
    shown = re.sub(r"\s*\n\s*", "", re.search(r"<main>(.*)</main>", markup, re.DOTALL)[1])
    assert shown == (
        '<details class="admonition dropdown"><summary class="admonition-title">'
        "Hint <em>one</em></summary><p>A</p><p>B</p></details>"
    )


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("container", "A Container, two", "Container"),
        ("container", "two containers.", "containers"),
        ("container", "containerd", None),
        ("container", "/var/lib/container", None),
        ("container", "container-toolkit", None),
        ("OCI", "an OCI image", "OCI"),
        ("OCI", "oci", None),
        ("daemon.json", "edit daemon.json.", "daemon.json"),
        ("TFLOP/s", "300 TFLOP/s", "TFLOP/s"),
        ("image", "image=x", None),
    ],
)
def test_a_term_is_found_as_a_word_of_its_own(term, text, found):
    match = re.search(term_pattern(term), text)
    assert (match and match[0]) == found


def test_every_rule_of_the_doctor_is_found_by_words_of_its_messages():
    for rule in load():
        entries = index_entries(rule)
        assert entries, rule.id
        assert not any(";" in entry for entry in entries), "the index would cut it in two"
    (toolkit,) = (rule for rule in load() if rule.id == "no-toolkit")
    assert "could not select device driver" in index_entries(toolkit)
