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
    sections = "".join(
        f'<section id="{anchor(rule)}">{rule.id}<details></details></section>' for rule in RULES
    )
    tab = chromium.new_page()
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.set_content(f"<!DOCTYPE html><html lang=en><body>{markup}{sections}</body></html>")
    yield tab
    tab.close()
    assert problems == []


PASTE = """(text) => {
    const box = document.getElementById("gb-doctor-text");
    document.getElementById("gb-doctor-said").textContent = "";
    box.value = text;
    box.dispatchEvent(new Event("input"));
}"""
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


# Nothing known, and first parts of symptoms whose second part never comes: the text that made the
# search quadratic when it looked for the second part up to the end.
MEGABYTE = 1_000_000
LOGS = {
    "a log": "2026-11-23T10:46:39Z INFO step 17 loss 0.34, cuda memory 3.1 GiB, docker ok\n",
    "first parts": "NVRM: Xid (PCI dial unix fork/exec failed to fulfil mount request: open\n",
    "one letter": "x",
}


def timed(page, text):
    """Milliseconds: of the work at a key in this text, until the answer, of the longest piece
    meanwhile (the browser's own layout among them), and of reading the text in the plainest way."""
    return page.evaluate(
        """async (text) => {
            const box = document.getElementById("gb-doctor-text");
            const said = document.getElementById("gb-doctor-said");
            const type = (value) => {
                box.value = value;
                const start = performance.now();
                box.dispatchEvent(new Event("input"));
                return performance.now() - start;
            };
            said.textContent = "";
            const key = type(text);
            const start = performance.now();
            let last = start, longest = 0;
            while (!said.textContent) {
                await new Promise((done) => setTimeout(done, 1));
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }
            const answer = last - start - 150;  // that long it waits for another key
            const words = text.toLowerCase().split(/\\s/).length;
            return {key, answer, longest, words, read: performance.now() - last};
        }""",
        text,
    )


@pytest.mark.parametrize("name", LOGS)
def test_a_key_in_a_megabyte_is_answered_before_the_text_could_be_read_once(page, name):
    line = LOGS[name]
    spent = timed(page, line * (MEGABYTE // len(line)))
    print({"log": name} | spent)
    assert spent["key"] < spent["read"]
    assert "No rule knows" in page.text_content("#gb-doctor-said")


def test_twice_the_text_takes_about_twice_the_time(page):
    """Linear, in the worst of these texts; a search to the end took four times as long."""

    def answer(size):
        line = LOGS["first parts"]
        return min(timed(page, line * (size // len(line)))["answer"] for _ in range(3))

    one, two = answer(MEGABYTE // 2), answer(MEGABYTE)
    print({"milliseconds": [one, two]})
    assert two < 3 * one


def test_a_message_in_the_middle_of_a_megabyte_is_known(page):
    half = LOGS["a log"] * (MEGABYTE // 2 // len(LOGS["a log"]))
    text = half + RULES[0].examples[0] + "\n" + half
    assert found(page, text)[0] == [anchor(RULES[0])]
