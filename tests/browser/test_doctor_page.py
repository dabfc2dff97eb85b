"""The box of the page of troubleshooting, in a real browser: it agrees with the command."""

from __future__ import annotations

import json

import pytest

from gpubook.book.sphinx_doctor import _Search, anchor
from gpubook.doctor import diagnose, load

pytestmark = pytest.mark.browser

RULES = load()


@pytest.fixture(scope="module")
def page(chromium):
    """The box with an empty section for each rule."""
    markup = _Search.run(object.__new__(_Search))[0].astext()
    sections = "".join(f'<section id="{anchor(rule)}">{rule.id}</section>' for rule in RULES)
    tab = chromium.new_page()
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.set_content(f"<!DOCTYPE html><html lang=en><body>{markup}{sections}</body></html>")
    yield tab
    tab.close()
    assert problems == []


def found(page, text):
    """The links that the box shows, and the sections that stay."""
    page.fill("#gb-doctor-text", text)
    links = page.eval_on_selector_all("#gb-doctor-said a", "a => a.map(x => x.hash.slice(1))")
    shown = page.eval_on_selector_all("section:not([hidden])", "s => s.map(x => x.id)")
    return links, shown


def test_every_example_is_found_as_the_command_finds_it(page):
    for rule in RULES:
        for text in rule.examples:
            links, shown = found(page, text)
            assert links == [f"doctor-{p.rule.id}" for p in diagnose(text).problems], text
            assert shown == links


def test_examples_are_found_wrapped_and_in_json(page):
    for rule in RULES:
        text = rule.examples[0]
        cut = "\n".join(text[i : i + 61] for i in range(0, len(text), 61))
        assert found(page, cut)[0] == [anchor(rule)], cut
        assert found(page, json.dumps({"log": text + "\n"}))[0] == [anchor(rule)], text


def test_the_first_words_of_a_message_are_enough(page):
    assert found(page, "could not select dev")[0] == ["doctor-no-toolkit", "doctor-cdi-off"]
    assert found(page, "unresolvable CDI")[0] == ["doctor-cdi-unresolvable"]


def test_what_is_not_known_hides_nothing_and_says_so(page):
    links, shown = found(page, "frobnication failed: 42")
    assert links == []
    assert len(shown) == len(RULES)
    assert "No rule knows" in page.text_content("#gb-doctor-said")
    assert len(found(page, "")[1]) == len(RULES)


def test_a_pasted_message_is_text_and_never_markup(page):
    found(page, "<img src=x onerror=document.title='bad'> " + RULES[0].examples[0])
    assert page.title() != "bad"
