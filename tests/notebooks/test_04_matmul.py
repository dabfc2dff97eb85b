"""What notebook 04 measured, live or replayed, must be so."""

import math
from pathlib import Path

import pytest

from gpubook import machine
from gpubook.evidence import load_recording
from gpubook.matmul import kinds, peaks, products, unit

ROOT = Path(__file__).parents[2]
NOTEBOOK = "04-matmul"
GPU = machine.probe().capabilities["gpu"].available
CHAPTER = ROOT / "recordings" / "a4000-2023" / NOTEBOOK / "products.json"

ROW = {
    "device", "name", "kind", "n", "fit", "error", "bound", "unit", "settings", "state",
    "seconds", "best_seconds", "p20_seconds", "p80_seconds", "spread", "runs", "method",
    "tflops", "peak_tflops", "share",
}  # fmt: skip


@pytest.fixture(scope="module")
def page(results):
    return results(NOTEBOOK)


def all_rows(page):
    return page.evidence("products-cpu").data["rows"] + page.evidence("products").data["rows"]


def test_the_cpus_evidence_is_measured_here_and_the_gpus_wherever_there_is_one(page):
    for name in ("float64-check", "products-cpu", "naive-cpu", "roofline-cpu"):
        assert page.evidence(name).live, name
    assert page.evidence("products").live == GPU


def test_the_product_agrees_with_float64_within_what_rounding_explains(page):
    checked = page.evidence("float64-check").data
    assert 0 < checked["error"] <= checked["bound"]
    # FP32 rounds to 24 bits: n additions err by less than sqrt(n) roundings, plus the result's
    assert checked["bound"] == pytest.approx((math.sqrt(checked["n"]) + 1) / 2**24)


def test_the_cheap_estimate_of_the_error_is_near_the_exact_error(page):
    checked = page.evidence("float64-check").data
    assert checked["estimate"] == pytest.approx(checked["error"], rel=0.2)


def test_rows_are_complete_and_every_measured_product_was_right(page):
    for row in all_rows(page):
        assert set(row) == ROW
        if row["error"] is not None:  # the chapter of 2023 checked none
            assert 0 < row["error"] <= row["bound"]
            assert row["bound"] == pytest.approx(kinds.KINDS[row["kind"]].error_bound(row["n"]))


def test_this_cpu_has_a_row_for_each_format_it_computes(page):
    rows = page.evidence("products-cpu").data["rows"]
    assert [row["kind"] for row in rows] == [kind.name for kind in products.device_kinds("cpu")]
    assert rows[0]["kind"] == "fp32"
    assert {row["name"] for row in rows} == {machine.probe().cpu}
    for row in rows:
        assert f"{products.threads()} threads" in row["method"]
        assert row["runs"] >= 1
        assert row["best_seconds"] <= row["p20_seconds"] <= row["seconds"] <= row["p80_seconds"]


def test_a_rate_is_two_n_cubed_over_the_seconds(page):
    for row in all_rows(page):
        assert row["tflops"] == pytest.approx(2 * row["n"] ** 3 / row["seconds"] / 1e12, rel=1e-12)
        if row["share"] is not None:
            assert row["share"] == pytest.approx(row["tflops"] / row["peak_tflops"], rel=1e-12)
            assert 0 < row["share"] <= 1


def test_a_profiled_row_ran_on_the_unit_that_its_format_claims(page):
    for row in page.evidence("products").data["rows"]:
        if row["unit"] is None or row["unit"]["kernel"] is None:
            continue
        assert unit.decide(row["unit"]["kernel"]).unit == row["unit"]["unit"]
        assert row["unit"]["unit"] == kinds.KINDS[row["kind"]].unit


def test_a_live_gpu_leaves_no_row_unproved_or_unsampled(page):
    if not GPU:
        pytest.skip("no GPU here: its rows are replayed")
    rows = page.evidence("products").data["rows"]
    assert {row["kind"] for row in rows} == {k.name for k in products.device_kinds("cuda")}
    for row in rows:
        assert row["unit"]["kernel"]
        assert row["state"]["samples"] >= 2
        switch = row["settings"]["torch.backends.cuda.matmul.fp32_precision"]
        assert switch == ("tf32" if row["kind"] == "tf32" else "ieee")


def test_the_naive_ways_stand_beside_the_right_one(page):
    wrong = page.evidence("naive-cpu").data
    ways = {way["way"]: way for way in wrong["ways"]}
    expected = {"first run", "making the data included", "zeros"}
    assert set(ways) - {"one thread"} == expected
    for way in ways.values():
        assert way["ratio"] == pytest.approx(way["seconds"] / wrong["right_seconds"])
        assert way["wrong"]


def test_a_format_that_the_cpu_converts_is_many_times_slower(page):
    slow = page.evidence("naive-cpu").data["slow_format"]
    if "fp16" in [kind.name for kind in products.device_kinds("cpu")]:
        assert slow is None
    else:
        assert slow["ratio"] > 3


def test_naive_timing_of_a_gpu_misleads_as_the_page_says(page):
    if "naive-gpu" not in page.names:
        pytest.skip("no GPU here and no recording of one")
    ways = {way["way"]: way["ratio"] for way in page.evidence("naive-gpu").data["ways"]}
    assert ways["no synchronise"] < 0.1
    assert ways["copy back included"] > 1.5
    assert ways["first run"] > 1.5
    assert ways["zeros"] < 1.0


def test_intensity_and_rate_follow_from_the_size(page):
    measured = page.evidence("roofline-cpu").data
    for row in measured["sweep"]:
        assert row["intensity"] == pytest.approx(row["n"] / 6)  # 2n³ / (3 · 4n²)
        assert row["tflops"] == pytest.approx(2 * row["n"] ** 3 / row["best_seconds"] / 1e12)
    copy = measured["copy"]
    assert copy["bytes_per_second"] == pytest.approx(2 * copy["array_bytes"] / copy["best_seconds"])


def test_small_products_are_slower_for_each_operation_than_large_ones(page):
    sweep = page.evidence("roofline-cpu").data["sweep"]
    assert sweep[0]["n"] == 16
    assert sweep[0]["tflops"] < max(row["tflops"] for row in sweep) / 2


# The chapter's figures, typed again from the chapter: none of them may change.
SECONDS = {
    ("cpu", "fp32", 10_000): 3.213898181915283,
    ("cuda", "fp32", 25_000): 4.067363500595093,
    ("cuda", "fp16", 25_000): 0.6378970146179199,
}
TFLOPS = {  # 2 n³ / seconds / 10¹², worked out by hand to five figures
    ("cpu", "fp32", 10_000): 0.62230,
    ("cuda", "fp32", 25_000): 7.6831,
    ("cuda", "fp16", 25_000): 48.989,
}


def test_the_row_of_2023_is_the_chapters_to_the_digit():
    rows = load_recording(CHAPTER)["data"]["rows"]
    assert {(r["device"], r["kind"], r["n"]): r["seconds"] for r in rows} == SECONDS
    for row in rows:
        key = (row["device"], row["kind"], row["n"])
        assert row["tflops"] == pytest.approx(TFLOPS[key], rel=1e-4)
    assert rows[1]["peak_tflops"] == peaks.peak_of("NVIDIA RTX A4000").tflops["fp32"]


def test_the_row_of_2023_names_its_machine_and_says_what_is_wrong_with_it():
    record = load_recording(CHAPTER)
    (gpu,) = record["provenance"]["machine"]["gpus"]
    assert (gpu["name"], gpu["driver"]) == ("NVIDIA RTX A4000", "535.129.03")
    assert record["provenance"]["software"]["cuda"] == "12.2"
    assert record["provenance"]["date"].startswith("2023-12-29")
    assert "chapter of 2023" in record["provenance"]["source"]
    flaws = " ".join(record["data"]["flaws"])
    assert round((25_000 / 10_000) ** 3, 1) == 15.6
    assert "15.6 times the work" in flaws
    assert 25_000**2 * 4 == 2.5e9
    assert "2.5 GB" in flaws
    assert "without waiting" in flaws
