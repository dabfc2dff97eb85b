"""The box of the page of troubleshooting, in a real browser: it agrees with the command."""

import json
import re

import pytest

from gpubook.book.sphinx_doctor import anchor, search
from gpubook.doctor import diagnose, load
from tests.browser.survey import script
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

RULES = load()


@pytest.fixture(scope="module")
def page(alone):
    """The box with an empty section for each rule."""
    sections = "".join(
        f'<section id="{anchor(rule)}">{rule.id}<details></details></section>' for rule in RULES
    )
    return alone(search(ROOT) + sections)


PASTE = script("paste")
ANSWERED = "() => document.getElementById('gb-doctor-said').textContent"


def found(page, text):
    """The links that the box shows, and the sections that stay."""
    page.evaluate(PASTE, text)  # at once: typing a megabyte takes Playwright minutes
    if text:
        page.wait_for_function(ANSWERED)
    links = page.eval_on_selector_all("#gb-doctor-said a", "a => a.map(x => x.hash.slice(1))")
    shown = page.eval_on_selector_all("section:not([hidden])", "s => s.map(x => x.id)")
    return links, shown


def test_every_example_is_found_as_the_command_finds_it(page):
    for rule in RULES:
        for text in rule.examples:
            links, shown = found(page, text)
            assert links == [f"doctor-{p.rule.id}" for p in diagnose(text).problems], text
            assert set(shown) == set(links)


def test_what_is_found_or_linked_unfolds(page):
    found(page, RULES[0].examples[0])
    unfolded = "id => document.getElementById(id).querySelector('details').open"
    assert page.evaluate(unfolded, anchor(RULES[0]))
    assert not page.evaluate(unfolded, anchor(RULES[-1]))
    page.evaluate("id => { location.hash = id; }", anchor(RULES[-1]))
    page.wait_for_function(unfolded, arg=anchor(RULES[-1]))


def test_examples_are_found_wrapped_and_in_json(page):
    for rule in RULES:
        text = rule.examples[0]
        cut = "\n".join(text[i : i + 61] for i in range(0, len(text), 61))
        assert found(page, cut)[0][:1] == [anchor(rule)], cut
        assert found(page, json.dumps({"log": text + "\n"}))[0][:1] == [anchor(rule)], text


def test_the_cause_comes_before_what_follows_from_it(page):
    text = "\n".join(rule.examples[0] for rule in RULES if rule.id in ("nvml-lost", "uvm-missing"))
    assert found(page, text)[0] == ["doctor-nvml-lost", "doctor-uvm-missing"]


def test_the_first_words_of_a_message_are_enough(page):
    links = {"doctor-no-toolkit", "doctor-cdi-off", "doctor-amd"}
    assert set(found(page, "could not select dev")[0]) == links
    assert "doctor-cdi-unresolvable" in found(page, "unresolvable CDI")[0]


def test_what_is_not_known_hides_nothing_and_says_so(page):
    links, shown = found(page, "frobnication failed: 42")
    assert links == []
    assert len(shown) == len(RULES)
    assert "No rule knows" in page.text_content("#gb-doctor-said")
    assert len(found(page, "")[1]) == len(RULES)


def test_a_pasted_message_is_text_and_never_markup(page):
    found(page, "<img src=x onerror=document.title='bad'> " + RULES[0].examples[0])
    assert page.title() != "bad"


MEGABYTE = 1_000_000
LOGS = {
    "a log": "2026-11-23T10:46:39Z INFO step 17 loss 0.34, cuda memory 3.1 GiB, docker ok\n",
    # the text that made the search quadratic when it looked for a second part up to the end
    "first parts": "NVRM: Xid (PCI dial unix fork/exec failed to fulfil mount request: open\n",
    "one letter": "x",
}


def handled(page, text):
    """Characters handed to the functions that read text, at a key in it and until its answer, and
    the patterns that were looked for. Counted, since a clock on a shared machine proves nothing."""
    return page.evaluate(
        """async (text) => {
            let read = 0;
            const patterns = new Set();
            const counted = (owner, name, length) => {
                const plain = owner[name];
                owner[name] = function (...given) {
                    read += length(this, given);
                    return plain.apply(this, given);
                };
                return () => { owner[name] = plain; };
            };
            const itself = (words) => words.length;
            const back = [
                ...["replace", "includes", "toLowerCase"].map(
                    (name) => counted(String.prototype, name, itself)),
                counted(RegExp.prototype, "test", (pattern, [words]) => {
                    patterns.add(pattern.source);
                    return words.length;
                }),
            ];
            const box = document.getElementById("gb-doctor-text");
            const said = document.getElementById("gb-doctor-said");
            said.textContent = "";
            box.value = text;
            box.dispatchEvent(new Event("input"));
            const key = read;
            while (!said.textContent) await new Promise((done) => setTimeout(done, 1));
            back.forEach((restore) => restore());
            return {key, answer: read, patterns: [...patterns]};
        }""",
        text,
    )


@pytest.mark.parametrize("name", LOGS)
def test_a_key_in_a_megabyte_reads_nothing_and_its_answer_passes_over_the_text(page, name):
    """The key is free, and the answer takes at most two passes a symptom and a few to squeeze:
    linear in the text, since a pattern's gaps are bounded (the next test)."""
    line = LOGS[name]
    count = handled(page, line * (MEGABYTE // len(line)))
    assert count["key"] == 0
    passes = 2 * sum(len(rule.symptoms) for rule in RULES) + 10
    assert MEGABYTE // 2 < count["answer"] < passes * MEGABYTE
    assert "No rule knows" in page.text_content("#gb-doctor-said")


def test_no_pattern_looks_for_its_next_part_up_to_the_end(page):
    longest = {s.anchor.decode() for rule in RULES for s in rule.symptoms}
    patterns = handled(page, "\n".join(longest))["patterns"]
    assert len(patterns) > len(RULES)
    for pattern in patterns:
        assert not re.search(r"[*+]|\{\d+,\}", re.sub(r"\\.", "", pattern)), pattern


def test_a_message_in_the_middle_of_a_megabyte_is_known(page):
    half = LOGS["a log"] * (MEGABYTE // 2 // len(LOGS["a log"]))
    text = half + RULES[0].examples[0] + "\n" + half
    assert found(page, text)[0] == [anchor(RULES[0])]
