"""What page 08 measured, live or replayed, must be so; its loop and rules are the library's."""

import math
import statistics
from dataclasses import dataclass

import pytest

from gpubook import machine
from gpubook.evidence import load_recording
from gpubook.matmul import kinds, peaks, products, timing, unit
from tests.captured import KERNELS
from tests.conftest import ROOT
from tests.fake_gpu import FakeGpu
from tests.notebooks import pages

NOTEBOOK = "08-matmul"
GPU = machine.probe().capabilities["gpu"].available
CHAPTER = ROOT / "recordings" / "a4000-2023" / NOTEBOOK / "products.json"

ROW = {
    "device", "name", "kind", "n", "fit", "error", "bound", "unit", "settings", "state",
    "seconds", "best_seconds", "p20_seconds", "p80_seconds", "spread", "runs", "method",
    "tflops", "peak_tflops", "share",
}  # fmt: skip


def all_rows(page):
    return page.evidence("products-cpu").data["rows"] + page.evidence("products").data["rows"]


def test_a_call_comes_back_before_the_product_is_over(page):
    early = page.evidence("no-wait").data
    assert 0 < early["returned_s"] < early["finished_s"]
    assert early["times"] == pytest.approx(early["finished_s"] / early["returned_s"])
    assert early["times"] > 1.5


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


@pytest.mark.parametrize("name", ["naive-cpu", "naive-gpu"])
def test_the_naive_ways_stand_beside_the_right_one(page, name):
    wrong = page.evidence(name).data
    assert len(wrong["ways"]) == 4
    for way in wrong["ways"]:
        assert way["ratio"] == pytest.approx(way["seconds"] / wrong["right_seconds"])


def test_naive_timing_of_a_gpu_misleads_as_the_page_says(page):
    ways = {way["way"]: way["ratio"] for way in page.evidence("naive-gpu").data["ways"]}
    assert ways["no synchronise"] < 0.5
    assert ways["copy back included"] > 1.5
    assert ways["zeros instead of numbers"] < 1.05


def test_the_pages_loop_and_mat_mul_agree_on_every_format(page):
    library = {r["kind"]: r["tflops"] for r in page.evidence("products").data["rows"]}
    for row in page.evidence("formats").data:
        assert row["tflops"] == pytest.approx(library[row["format"].lower()], rel=0.25)


@dataclass
class FakeTorch:
    """As much of torch as the page's loop uses, around a GPU whose clock is known."""

    gpu: FakeGpu
    uint8 = None

    @property
    def cuda(self):
        return self.gpu

    def empty(self, size, **_):
        assert size >= timing.FLUSH_BYTES, "less than the largest L2 cache"
        return self

    def zero_(self):
        self.gpu.flush()


def page_seconds(gpu, runs=4):
    names = pages.names(NOTEBOOK, "time-on-gpu", torch=FakeTorch(gpu))
    return names["time_on_gpu"](gpu.run, runs)


def test_the_pages_loop_times_each_run_and_nothing_else():
    gpu = FakeGpu([9.0, 0.02, 0.03, 0.04, 0.05], flush_seconds=5.0)  # the first one warms up
    assert page_seconds(gpu) == pytest.approx([0.02, 0.03, 0.04, 0.05])


def test_the_pages_loop_and_the_librarys_do_the_same_on_the_same_gpu():
    page_gpu, library_gpu = FakeGpu([0.02]), FakeGpu([0.02])
    seconds = page_seconds(page_gpu)
    taken = timing.time_cuda(
        library_gpu.run, cuda=library_gpu, flush=library_gpu.flush, runs=(4, 4)
    )
    assert statistics.median(seconds) == pytest.approx(taken.median)
    count = 4 * 4 + 1
    assert page_gpu.log[-count:] == library_gpu.log[-count:]


def page_rules():
    return pages.names(NOTEBOOK, "rules")


def test_the_pages_rules_and_the_librarys_agree_on_every_published_kernel():
    unit_of = page_rules()["unit_of"]
    for known in KERNELS:
        assert unit_of(known["kernel"]) == known["unit"] == unit.decide(known["kernel"]).unit


def test_every_one_of_the_pages_rules_is_needed():
    for left_out in page_rules()["RULES"]:
        names = page_rules()
        names["RULES"].remove(left_out)
        wrong = [k for k in KERNELS if names["unit_of"](k["kernel"]) != k["unit"]]
        assert wrong, f"no published kernel needs {left_out}"


# The exercises


def test_a_speed_up_is_a_ratio_of_times_and_shared_by_the_threads(page):
    answer = page.solution(2)
    assert answer["gain"] == pytest.approx(answer["seconds"][0] / answer["seconds"][-1])
    assert answer["share"] == pytest.approx(answer["gain"] / answer["threads"])
    assert answer["threads"] == products.threads()


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
