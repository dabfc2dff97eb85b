"""Self-checks and folded solutions in a real browser: by mouse, by keyboard, without scripts."""

import json

import pytest

from gpubook.evidence import checks
from tests.browser.conftest import NOTEBOOKS
from tests.browser.survey import WIDER, violations
from tests.conftest import ROOT

pytestmark = pytest.mark.browser


def questions_of(document):
    return checks.load(checks.path_of(ROOT, document.split("/")[1])).questions


@pytest.fixture
def plain(chromium, site):
    """A tab with scripts off."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    yield page
    context.close()


def visible(page):
    """The feedback that is shown, as text."""
    return [t.strip() for t in page.locator(".gb-check .gb-said:visible").all_inner_texts()]


def words(text):
    return " ".join(text.replace("`", "").split())


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_each_option_says_what_is_right_or_wrong_about_it(tab, site, document):
    tab.open(f"{site}/{document}.html")
    groups = tab.page.locator(".gb-check fieldset")
    questions = questions_of(document)
    assert groups.count() == len(questions)
    assert visible(tab.page) == [], "nothing is told before a choice"
    group, question = groups.nth(0), questions[0]
    for number, option in enumerate(question.options):
        group.locator("label").nth(number).click()
        (said,) = visible(tab.page)
        assert words(said).startswith("Right." if option.right else "No.")
        assert words(said).endswith(words(option.feedback))
    for number in range(1, len(questions)):
        groups.nth(number).locator("input").first.check()
    assert len(visible(tab.page)) == len(questions), "each question keeps its own answer"
    tab.page.locator(".gb-check button").click()
    assert visible(tab.page) == []
    assert tab.problems == []


def test_the_keyboard_reaches_chooses_and_never_leaves_the_page(tab, site):
    document = NOTEBOOKS[0]
    tab.open(f"{site}/{document}.html")
    tab.page.locator(".gb-check input").first.focus()
    tab.page.keyboard.press("Space")
    assert len(visible(tab.page)) == 1
    tab.page.keyboard.press("ArrowDown")
    second = tab.page.locator(".gb-check fieldset").first.locator("input").nth(1)
    assert second.is_checked()
    assert second.evaluate("e => document.activeElement === e")
    assert second.evaluate("e => getComputedStyle(e).outlineStyle") == "solid", "focus is seen"
    url = tab.page.url
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.name").endswith("-2"), "the next question"
    assert tab.page.url == url
    assert second.is_checked(), "Enter sends nothing and clears nothing"
    assert tab.problems == []


def test_feedback_is_announced_and_no_two_questions_share_a_group(tab, site):
    tab.open(f"{site}/{NOTEBOOKS[0]}.html")
    tab.page.locator(".gb-check label").first.click()
    said = tab.page.locator(".gb-check .gb-said:visible")
    assert said.evaluate("e => e.parentElement.getAttribute('role')") == "status"
    each = "f => f.map(x => [...new Set([...x.querySelectorAll('input')].map(i => i.name))])"
    names = tab.page.eval_on_selector_all(".gb-check fieldset", each)
    assert all(len(group) == 1 for group in names)
    assert len({group[0] for group in names}) == len(names)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_answered_page_is_accessible_and_narrow(tab, site, theme):
    tab.page.emulate_media(color_scheme=theme)
    tab.page.set_viewport_size({"width": 360, "height": 900})
    tab.open(f"{site}/{NOTEBOOKS[3]}.html")
    for fold in tab.page.locator("details.gb-fold").all():
        fold.locator("> summary").click()
    groups = tab.page.locator(".gb-check fieldset")
    for number in range(groups.count()):
        groups.nth(number).locator("label").nth(number % 3).click()
    assert tab.page.evaluate(WIDER) == []
    assert violations(tab.page, within=".gb-check, .gb-fold") == []
    assert tab.problems == []


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_solutions_are_folded_named_and_open_by_keyboard(tab, site, document):
    source = json.loads((ROOT / f"{document}.ipynb").read_text(encoding="utf-8"))
    exercises = sum(cell["id"].startswith("exercise-") and cell["id"][9:].isdigit()
                    for cell in source["cells"])  # fmt: skip
    tab.open(f"{site}/{document}.html")
    folds = tab.page.locator("details.gb-fold", has_text="Solution of exercise")
    assert folds.count() == exercises >= 4
    for number in range(exercises):
        summary = folds.nth(number).locator("> summary")
        assert summary.inner_text().strip() == f"Solution of exercise {number + 1}"
        assert not folds.nth(number).locator(".gb-solution-why").is_visible()
    first = folds.first
    first.locator("> summary").focus()
    tab.page.keyboard.press("Enter")
    assert first.locator(".gb-solution-why").is_visible()
    assert first.locator("pre").first.is_visible()
    tab.page.keyboard.press("Space")
    assert not first.locator(".gb-solution-why").is_visible()
    assert tab.problems == []


def test_without_scripts_solutions_unfold_and_questions_answer(plain, site):
    plain.goto(f"{site}/{NOTEBOOKS[3]}.html")
    fold = plain.locator("details.gb-fold", has_text="Solution of exercise").first
    assert not fold.locator(".gb-solution-why").is_visible()
    fold.locator("> summary").click()
    assert fold.locator(".gb-solution-why").is_visible()
    assert visible(plain) == []
    plain.locator(".gb-check label").first.click()
    assert len(visible(plain)) == 1


def test_on_paper_every_feedback_is_there(tab, site):
    tab.open(f"{site}/{NOTEBOOKS[0]}.html")
    tab.page.emulate_media(media="print")
    told = sum(len(question.options) for question in questions_of(NOTEBOOKS[0]))
    assert len(visible(tab.page)) == told
    assert not tab.page.locator(".gb-check button").is_visible()
    tab.page.emulate_media(media="screen")
