"""The page "What if": its formula, and the recorded points beside it."""

import json
import re

import pytest

from gpubook.book import sphinx_what_if, what_if
from gpubook.book.directives import with_script
from gpubook.matmul.kinds import KINDS
from tests.conftest import ROOT

CARDS = {card.name: card for card in what_if.cards(ROOT)}
H100 = CARDS["H100 SXM"]
NO_LAUNCH = what_if.Card("half an H100", {"fp16": 500.0}, 1.5e12)


def test_a_large_product_is_bound_by_arithmetic_and_takes_operations_over_peak():
    answer = what_if.product(H100, KINDS["fp16"], 8192)
    assert answer["bound"] == "arithmetic"
    assert answer["seconds"] == pytest.approx(2 * 8192**3 / 989.4e12)
    assert answer["memory_bytes"] == 3 * 2 * 8192**2


def test_a_small_product_waits_for_the_launch_where_one_was_recorded():
    assert what_if.product(H100, KINDS["fp16"], 64)["bound"] == "launch"
    assert what_if.product(NO_LAUNCH, KINDS["fp16"], 64)["bound"] == "memory"


def test_bound_and_roof_change_at_the_ridge():
    ridge = 500.0 / 1.5
    below = what_if.product(NO_LAUNCH, KINDS["fp16"], int(3 * ridge) - 8)  # intensity is n / 3
    above = what_if.product(NO_LAUNCH, KINDS["fp16"], int(3 * ridge) + 8)
    assert (below["bound"], above["bound"]) == ("memory", "arithmetic")
    assert below["roof_tflops"] < above["roof_tflops"] == 500.0


def test_the_least_time_and_the_roof_are_the_same_claim():
    for n in (256, 1024, 4096):
        answer = what_if.product(NO_LAUNCH, KINDS["fp16"], n)
        assert answer["flops"] / answer["seconds"] / 1e12 == pytest.approx(answer["roof_tflops"])


def test_a_steps_operations_are_six_a_weight_of_its_products_and_its_attention():
    one, two = (what_if.step_flops(what_if.MODEL, 1, length) for length in (1, 2))
    attention = two - 2 * one  # what grows with the square of the length
    weights = 6 * (4 * 384**2 + 2 * 384 * 1536)  # as page 12 counts them
    assert one - attention / 2 == 6 * weights
    assert attention == 2 * 12 * 6 * 384


def test_a_steps_memory_is_that_of_the_published_formula():
    b, s, h, a = 16, 128, 384, 12
    kept = 6 * s * b * h * (34 + 5 * a * s / h)
    asked = what_if.step_memory(what_if.MODEL, KINDS["bf16"], b, s)
    assert asked == pytest.approx(16 * what_if.MODEL.parameters + kept)
    assert what_if.step_memory(what_if.MODEL, KINDS["fp32"], b, s) > asked


def test_no_recorded_product_or_step_was_faster_than_the_least():
    assert what_if.products(ROOT)
    assert what_if.steps(ROOT)
    for row in what_if.products(ROOT):
        answer = what_if.product(CARDS[row["card"]], KINDS[row["kind"]], row["n"])
        assert row["seconds"] >= answer["seconds"], row
    for row in what_if.steps(ROOT):
        answer = what_if.step(CARDS[row["card"]], KINDS[row["kind"]], row["batch"], row["length"])
        assert row["seconds"] >= answer["seconds"], row


def test_the_step_of_2023_is_padded_to_128_tokens():
    first = [row for row in what_if.steps(ROOT) if row["name"] == "as in 2023"]
    assert first
    assert all((row["batch"], row["length"]) == (16, 128) for row in first)


@pytest.mark.parametrize("half", sphinx_what_if.HALVES)
def test_without_a_script_the_table_has_every_recorded_point_and_the_form_is_hidden(half):
    data = what_if.data(ROOT)
    text = sphinx_what_if.table(half, ROOT)
    assert text.count("<tr>") == 1 + len(data["recorded"][half])
    assert " hidden>" in sphinx_what_if.controls(half, data).split("<div")[0]


def test_every_recorded_point_has_a_place_on_the_sliders():
    data = what_if.data(ROOT)
    for half, keys in (("product", ["n"]), ("step", ["batch", "length"])):
        form = sphinx_what_if.controls(half, data)
        for key in keys:
            values = re.search(rf'name="{key}"[^>]*data-values="([\d ]+)"', form)[1].split()
            assert {str(row[key]) for row in data["recorded"][half]} <= set(values)


def test_the_pages_data_cannot_end_its_script():
    data = what_if.data(ROOT) | {"name": "</script>"}
    place = re.search(r'id="gb-what-if-data">(.*?)</script>', with_script("what_if", data))
    assert json.loads(place[1])["name"] == "</script>"


def test_the_page_is_in_the_book_and_has_both_halves():
    page = (ROOT / "book/what-if.md").read_text(encoding="utf-8")
    assert re.findall(r"{gpubook-what-if} (\w+)", page) == list(sphinx_what_if.HALVES)
    assert "book/what-if" in (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert "gpubook.book.sphinx_what_if" in (ROOT / "_config.yml").read_text(encoding="utf-8")
