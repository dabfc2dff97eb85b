"""What page 09 measured and concluded, worked out once more."""

import pytest

from gpubook.matmul import kinds, roofline

NOTEBOOK = "09-roofline"


def test_a_copy_moves_each_byte_twice(page):
    copy = page.evidence("copy").data
    assert copy["bytes_per_second"] == pytest.approx(2 * copy["array_bytes"] / copy["seconds"])


def test_intensity_and_rate_follow_from_the_size(page):
    for row in page.evidence("bounds").data:
        assert row["flop_a_byte"] == pytest.approx(row["n"] / 6)  # 2n³ / (3 · 4n²)
    for row in page.evidence("sweep").data:
        assert row["tflops"] == pytest.approx(2 * row["n"] ** 3 / row["seconds"] / 1e12)


def test_small_products_are_slower_for_each_operation_than_large_ones(page):
    sweep = page.evidence("sweep").data
    assert sweep[0]["n"] == 16
    assert sweep[0]["tflops"] < max(row["tflops"] for row in sweep) / 2


def test_the_pages_roof_and_bounds_are_the_librarys(page):
    sweep, copy = page.evidence("sweep").data, page.evidence("copy").data
    card = {
        "launch_seconds": min(row["seconds"] for row in sweep),
        "peak_tflops": max(row["tflops"] for row in sweep),
        "bytes_per_second": copy["bytes_per_second"],
    }
    library = [
        roofline.least(kinds.flops(row["n"]), kinds.KINDS["fp32"].bytes(row["n"]), **card)
        for row in sweep
    ]
    words = {"launch": "the call", "memory": "memory", "arithmetic": "arithmetic"}
    for ours, theirs in zip(page.evidence("bounds").data, library, strict=True):
        assert ours["roof_tflops"] == pytest.approx(theirs["roof_tflops"])
        assert ours["bound_by"] == words[theirs["bound"]]


def test_only_tensor_cores_reach_the_claimed_rate(page):
    answer = page.solution(1)
    # 132 multiprocessors, 128 FP32 lanes each, a multiply-add a clock, at 1.98 GHz
    assert answer["peak"] == pytest.approx(132 * 128 * 2 * 1.98e9 / 1e12, rel=0.01)
    assert {kinds.KINDS[name].unit for name in answer["able"]} == {kinds.TENSOR_CORES}
    assert set(answer["able"]) == {"tf32", "fp16", "bf16", "fp8"}


def test_a_faster_unit_helps_fewer_sizes(page):
    answer = page.solution(2)
    sweep, copy = page.evidence("sweep").data, page.evidence("copy").data
    assert 16 not in answer["arithmetic"], "the smallest product is all call"
    assert answer["arithmetic"][-1] == sweep[-1]["n"]
    assert set(answer["with_ten_times"]) < set(answer["arithmetic"])
    call = min(row["seconds"] for row in sweep)
    best = max(2 * row["n"] ** 3 / row["seconds"] for row in sweep)
    for times, sizes in ((1, answer["arithmetic"]), (10, answer["with_ten_times"])):
        computing = {row["n"]: 2 * row["n"] ** 3 / (times * best) for row in sweep}
        moving = {n: 12 * n * n / copy["bytes_per_second"] for n in computing}
        assert sizes == [n for n, took in computing.items() if took > max(call, moving[n])]
