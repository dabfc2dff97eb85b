"""The page "What if" in a real browser: its script agrees with the library, and it can be used."""

import itertools
import re

import pytest

from gpubook.book import sphinx_what_if, what_if
from gpubook.matmul.kinds import KINDS
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

CARDS = what_if.cards(ROOT)
DATA = what_if.data(ROOT)


@pytest.fixture(scope="module")
def page(alone):
    """Both halves."""
    return alone("".join(sphinx_what_if.markup(ROOT, half) for half in sphinx_what_if.HALVES))


def same(given: dict, wanted: dict) -> None:
    assert given.pop("bound") == wanted.pop("bound")
    assert given == pytest.approx(wanted, rel=1e-12)


def answers(page, name: str, asked: list) -> list[dict]:
    """What the script's function says to each list of arguments."""
    return page.evaluate(
        "([name, asked]) => asked.map((given) => gpubookWhatIf[name](...given))", [name, asked]
    )


def test_the_script_computes_products_as_the_library_does(page):
    sizes = (1, 16, 100, 1024, 8192, 25_000, 65_536)
    grid = [(c, k, n) for c, n in itertools.product(CARDS, sizes) for k in c.tflops]
    given = {card["name"]: card for card in DATA["cards"]}
    kinds = {kind["name"]: kind for kind in DATA["kinds"]}
    told = answers(page, "product", [[given[c.name], kinds[k], n] for c, k, n in grid])
    for (card, kind, n), answer in zip(grid, told, strict=True):
        same(answer, what_if.product(card, KINDS[kind], n))


def test_the_script_computes_steps_as_the_library_does(page):
    shapes = ((1, 8), (16, 128), (64, 25), (1024, 512))
    grid = [(c, k, *s) for c, s in itertools.product(CARDS, shapes) for k in c.tflops]
    given = {card["name"]: card for card in DATA["cards"]}
    kinds = {kind["name"]: kind for kind in DATA["kinds"]}
    asked = [[given[c.name], kinds[k], b, s, DATA["model"]] for c, k, b, s in grid]
    for (card, kind, batch, length), answer in zip(grid, answers(page, "step", asked), strict=True):
        same(answer, what_if.step(card, KINDS[kind], batch, length))


def said(page, half: str, key: str) -> str:
    return page.text_content(f"#gb-what-if-{half} [data-say={key}]")


def choose(page, half: str, **values: object) -> None:
    """Set fields as a reader does: lists by value, sliders by the number that they stand for."""
    for key, value in values.items():
        field = page.locator(f"#gb-what-if-{half} [name={key}]")
        if isinstance(value, str):
            field.select_option(value)
        else:
            places = field.get_attribute("data-values").split(" ")
            field.fill(str(places.index(str(value))))


def test_a_recorded_point_is_shown_beside_the_least(page):
    row = next(r for r in DATA["recorded"]["product"] if (r["card"], r["kind"]) == ("H200", "fp32"))
    choose(page, "product", card="H200", kind="fp32", n=row["n"])
    (card,) = (card for card in CARDS if card.name == "H200")
    least = what_if.product(card, KINDS["fp32"], row["n"])
    told = re.fullmatch(
        r"([\d.]+) ms on h200, ([\d.]+) times the least", said(page, "product", "recorded")
    )
    assert float(told[1]) == pytest.approx(1000 * row["seconds"], rel=0.005)
    assert float(told[2]) == pytest.approx(row["seconds"] / least["seconds"], rel=0.005)
    assert float(said(page, "product", "seconds").removesuffix(" ms")) == pytest.approx(
        1000 * least["seconds"], rel=0.005
    )
    assert said(page, "product", "bound").startswith("arithmetic")


def test_memory_is_said_in_mebibytes(page):
    choose(page, "product", card="H100 SXM", kind="fp32", n=8192)
    assert said(page, "product", "memory") == "768 MiB"


def test_a_small_product_is_bound_by_its_launch_only_where_one_was_recorded(page):
    choose(page, "product", card="H100 SXM", kind="fp16", n=64)
    assert said(page, "product", "bound").startswith("the launch")
    choose(page, "product", card="T4")
    assert "no launch was recorded" in said(page, "product", "bound")
    assert said(page, "product", "recorded") == "nothing, for this card and format"


def test_the_table_shows_the_chosen_card_and_format_and_all_where_it_has_none(page):
    choose(page, "step", card="H100 SXM", kind="bf16")
    rows = "#gb-what-if-step-recorded tbody tr"
    formats = page.eval_on_selector_all(
        f"{rows}:not([hidden])", "r => r.map(x => x.cells[1].textContent)"
    )
    assert set(formats) == {"BF16"}
    choose(page, "step", card="L4")
    assert page.locator(f"{rows}:not([hidden])").count() == len(DATA["recorded"]["step"])


def test_a_format_that_a_card_lacks_cannot_be_chosen(page):
    choose(page, "product", card="H100 SXM", kind="fp8")
    choose(page, "product", card="T4")
    form = "#gb-what-if-product [name=kind]"
    assert page.input_value(form) == "fp32"
    disabled = page.eval_on_selector_all(f"{form} option:disabled", "o => o.map(x => x.value)")
    assert disabled == ["tf32", "bf16", "fp8"]


def test_a_slider_moves_by_the_keyboard_and_says_its_number(page):
    choose(page, "product", card="H100 SXM", kind="fp16", n=8192)
    slider = page.locator("#gb-what-if-product [name=n]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != "8,192"
    assert page.text_content("#gb-what-if-product output") == slider.get_attribute("aria-valuetext")
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "16"


def test_the_picture_has_a_ring_for_each_recorded_point_and_says_what_it_shows(page):
    choose(page, "product", card="H200", kind="fp16", n=1024)
    rings = page.locator("#gb-what-if-product circle.recorded").count()
    assert rings == sum(
        (r["card"], r["kind"]) == ("H200", "fp16") for r in DATA["recorded"]["product"]
    )
    label = page.get_attribute("#gb-what-if-product svg", "aria-label")
    assert "Roofline of H200, FP16" in label
    assert f"{rings} recorded points" in label


def test_a_telephone_shows_it_without_scrolling_sideways(page):
    wide = page.evaluate("() => [...document.forms].map((f) => f.scrollWidth - f.clientWidth)")
    assert wide == [0, 0]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_on_paper_every_recorded_point_is_there_and_no_form(page):
    choose(page, "product", card="H200", kind="fp16", n=1024)
    page.emulate_media(media="print")
    assert page.locator("#gb-what-if-product").is_hidden()
    rows = page.locator("#gb-what-if-product-recorded tbody tr")
    shown = [row.is_visible() for row in rows.all()]
    page.emulate_media(media="screen")
    assert shown == [True] * len(DATA["recorded"]["product"])
