"""The page of troubleshooting has what the rules have."""

import re

import pytest
from docutils import nodes

from gpubook.book.sphinx_doctor import (
    anchor,
    compat_tables,
    inline,
    rule_section,
    search_data,
)
from gpubook.doctor import compat, load
from tests.conftest import ROOT


@pytest.mark.parametrize("rule", load(), ids=lambda rule: rule.id)
def test_a_section_has_the_message_the_cause_each_command_and_each_source(rule):
    section = rule_section(rule)
    text = section.astext()
    assert section["ids"] == [anchor(rule)]
    for example in rule.examples:
        assert example in text
    assert rule.cause.replace("`", "") in text
    for fix in rule.fix:
        assert "\n".join(fix.run) in text
    links = {link["refuri"] for link in section.findall(nodes.reference)}
    assert links == set(rule.sources)


def test_code_in_a_text_is_shown_as_code():
    kinds = [type(node).__name__ for node in inline("use `--gpus all` here")]
    assert kinds == ["Text", "literal", "Text"]


def test_the_box_knows_every_rule():
    assert [entry["id"] for entry in search_data(load())] == [anchor(rule) for rule in load()]


def test_the_page_is_in_the_book_and_uses_both_directives():
    assert "book/troubleshooting" in (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert "gpubook.book.sphinx_doctor" in (ROOT / "_config.yml").read_text(encoding="utf-8")
    page = (ROOT / "book/troubleshooting.md").read_text(encoding="utf-8")
    assert re.findall(r"{(gpubook-[\w-]+)}", page) == [
        "gpubook-doctor-search",
        "gpubook-chooser",
        "gpubook-compat",
        "gpubook-doctor-rules",
    ]


def test_the_tables_have_every_row_with_its_source():
    rows = compat.table()
    text = compat_tables()
    for row in (*rows.cuda, *rows.generations, *rows.wheels):
        assert row.source in text
    assert text.count("\n|") == len(text.split("\n")) - 3  # two blank lines, and the first line
