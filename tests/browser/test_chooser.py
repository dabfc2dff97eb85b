"""The chooser of drivers, images and cards in a real browser, with nothing to load."""

import pytest

from gpubook.book import sphinx_chooser as chooser
from tests.browser.survey import script

pytestmark = pytest.mark.browser

DATA = chooser.data()


@pytest.fixture(scope="module")
def page(alone):
    return alone(chooser.markup())


def ask(page, card: str, image: str, driver: str = "") -> tuple[str, str]:
    """Choose, and return the verdict and what follows it."""
    page.select_option("#gb-chooser [name=card]", index=list(DATA["cards"]).index(card))
    page.select_option("#gb-chooser [name=image]", index=DATA["images"].index(image))
    page.fill("#gb-chooser [name=driver]", driver)
    said = "#gb-chooser [role=status]"
    return page.text_content(f"{said} strong"), page.text_content(f"{said} span")


SAID = script("said")


def test_every_pair_shows_the_answer_of_the_table(page):
    told = page.evaluate(SAID, [len(DATA["cards"]), len(DATA["images"])])
    wanted = [DATA["answers"][n] for c in DATA["cards"].values() for n in DATA["pairs"][c]]
    assert told == [f"{a['verdict']}. {a['drivers']}{a['rest']}" for a in wanted]


def test_a_driver_is_held_against_both(page):
    card, image = "RTX 5090", "PyTorch 2.13, CUDA 13.0, x86_64"
    assert ask(page, card, image, "580.95.05")[0] == "Runs."
    verdict, text = ask(page, card, image, "570.133.20")
    assert verdict == "Does not run with your driver."
    assert "570, is too old" in text
    assert "not abc" in ask(page, card, image, "abc")[1]


def test_a_driver_that_no_longer_knows_the_card_is_told_so(page):
    verdict, text = ask(page, "another Pascal card", "PyTorch 2.13, CUDA 12.6, x86_64", "590.44")
    assert verdict == "Does not run with your driver."
    assert "no longer knows this card" in text


def test_it_is_used_by_the_keyboard_alone(page):
    ask(page, "H100 SXM", "CUDA 12, no PyTorch")
    page.focus("#gb-chooser [name=card]")
    before = page.text_content("#gb-chooser [role=status] span")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("450")
    after = page.text_content("#gb-chooser [role=status] span")
    assert "450" in after
    assert before != after


def test_what_is_typed_is_text_and_never_markup(page):
    ask(page, "H100 SXM", "CUDA 12, no PyTorch", "<img src=x onerror=document.title='bad'>")
    assert page.title() != "bad"
    assert page.locator("#gb-chooser img").count() == 0


def test_a_telephone_shows_it_without_scrolling_sideways(page):
    ask(page, "V100 PCIe", "PyTorch 2.13, CUDA 13.0, x86_64")  # the longest address
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
