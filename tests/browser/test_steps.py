"""Drawings and stepped figures in a real browser: keyboard, no scripts, paper, telephone, dark."""

import re

import pytest

from tests.browser.survey import script
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

PAGES = ("notebooks/02-behind-docker-run", "book/gpu-paths")
WITH_DRAWINGS = sorted(
    f"{path.parent.name}/{path.stem}"
    for folder, pattern in (("book", "*.md"), ("notebooks", "*.ipynb"))
    for path in (ROOT / folder).glob(pattern)
    if re.search(r"{gpubook-(diagram|steps)}", path.read_text(encoding="utf-8"))
)

STATE = script("state")


def figure(page):
    """The page's one stepped figure."""
    (found,) = page.locator(".gb-steps").all()
    return found


def check(state: dict, *, step: int) -> None:
    """What is shown is what the step has, no less and no more."""
    assert state["step"] == step
    assert state["captions"] == [step]
    assert state["parts"], "the drawing has no steps"
    for name, shown in state["parts"].items():
        word, number = name.split("-")
        there = step >= int(number) if word == "from" else step <= int(number)
        # An element of two classes is there when both say so; each drawing's groups overlap.
        assert not any(shown) or there, f"{name} is shown in step {step}"
        if word == "from" and there and f"until-{number}" not in state["parts"]:
            assert any(shown), f"{name} is missing in step {step}"


@pytest.mark.parametrize("document", PAGES)
def test_the_keyboard_goes_through_all_steps_and_the_page_does_not_move(tab, site, document):
    tab.open(f"{site}/{document}.html")
    steps = figure(tab.page)
    last = steps.locator("input").count()
    first_state = steps.evaluate(STATE)
    check(first_state, step=last)
    tab.page.focus("main a[href]")
    for _ in range(60):
        tab.page.keyboard.press("Tab")
        if tab.page.evaluate("() => document.activeElement.type === 'radio'"):
            break
    else:
        pytest.fail("Tab does not reach the steps")
    for step in range(last - 1, 0, -1):
        tab.page.keyboard.press("ArrowLeft")
        state = steps.evaluate(STATE)
        check(state, step=step)
        assert state["height"] == pytest.approx(first_state["height"], abs=1)
    tab.page.keyboard.press("ArrowRight")
    check(steps.evaluate(STATE), step=2)
    label = steps.locator(".gb-step-labels label").nth(1)
    assert label.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert tab.problems == []


@pytest.mark.parametrize("document", PAGES)
def test_a_step_has_a_name_and_its_text_for_those_who_do_not_see_it(tab, site, document):
    tab.open(f"{site}/{document}.html")
    steps = figure(tab.page)
    assert tab.page.get_by_role("group", name=steps.locator("legend").inner_text()).count() == 1
    last = steps.locator("input").count()
    captions = steps.locator(".gb-step-captions > li")
    for n, radio in enumerate(steps.get_by_role("radio").all(), 1):
        assert radio.get_attribute("aria-label") == f"Step {n} of {last}"
        described = tab.page.locator(f"#{radio.get_attribute('aria-describedby')}")
        assert described.text_content() == captions.nth(n - 1).text_content() != ""


@pytest.mark.parametrize("document", PAGES)
def test_without_scripts_the_last_step_is_shown_and_the_others_can_be_chosen(
    chromium, built_book, document
):
    context = chromium.new_context(java_script_enabled=False, reduced_motion="reduce")
    page = context.new_page()
    page.goto((built_book / f"{document}.html").as_uri())
    steps = figure(page)
    captions = steps.locator(".gb-step-captions > li")
    last = captions.count()
    assert [n for n in range(last) if captions.nth(n).is_visible()] == [last - 1]
    assert all(part.is_visible() for part in steps.locator(f"svg g.from-{last}").all())
    steps.locator(".gb-step-labels label").first.click()
    captions.first.wait_for(state="visible")
    assert [n for n in range(last) if captions.nth(n).is_visible()] == [0]
    assert not any(part.is_visible() for part in steps.locator(f"svg g.from-{last}").all())
    context.close()


@pytest.mark.parametrize("document", PAGES)
def test_paper_has_the_last_state_and_all_steps_whatever_was_chosen(tab, site, document):
    tab.open(f"{site}/{document}.html")
    steps = figure(tab.page)
    steps.locator(".gb-step-labels label").nth(1).click()
    check(steps.evaluate(STATE), step=2)
    tab.page.emulate_media(media="print")
    state = steps.evaluate(STATE)
    assert state["captions"] == list(range(1, steps.locator("input").count() + 1))
    assert not any(any(s) for name, s in state["parts"].items() if name.startswith("until"))
    ends = {f"from-{n}" for n in range(2, 9)} & set(state["parts"])
    assert any(state["parts"][max(ends)])
    tops = steps.locator(".gb-step-captions > li").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == len(tops), "steps lie on one another"


def test_nothing_moves_for_those_who_asked_for_less_motion(chromium, site):
    durations = {}
    for wish in ("reduce", "no-preference"):
        page = chromium.new_page(reduced_motion=wish)
        page.goto(f"{site}/notebooks/02-behind-docker-run.html")
        part = page.locator(".gb-steps svg .from-2").first
        durations[wish] = part.evaluate("e => getComputedStyle(e).transitionDuration")
        page.close()
    assert set(durations["reduce"].split(", ")) == {"0s"}
    assert set(durations["no-preference"].split(", ")) != {"0s"}


# Where each text of a drawing lies, how large it is, and how well it is read on what is behind it.
TEXTS = script("texts")


@pytest.mark.parametrize("document", WITH_DRAWINGS)
def test_the_text_of_a_drawing_is_whole_large_enough_and_readable(tab, site, document):
    tab.open(f"{site}/{document}.html")
    for theme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=theme)
        tab.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
        for width in (1440, 360):
            tab.page.set_viewport_size({"width": width, "height": 900})
            found = tab.page.evaluate(TEXTS)
            assert found["texts"] > 5
            assert found["wrong"] == [], f"{theme}, {width} pixels"
