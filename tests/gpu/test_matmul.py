"""On a real GPU: units proved, timer agreeing with Triton's."""

import pytest

from gpubook.matmul import bench, kinds, peaks, products, roofline, timing, unit
from gpubook.matmul.kinds import CUDA_CORES, KINDS, TENSOR_CORES

pytestmark = pytest.mark.gpu

N = 8192  # the size of the bench: at half of it, clocks that swing move FP16 by a tenth


@pytest.fixture(scope="module", autouse=True)
def a_real_gpu():
    import torch

    assert torch.cuda.is_available(), "this lane is for machines with a GPU"
    return bench.facts()


@pytest.fixture(scope="module")
def rows():
    return {row["kind"]: row for row in products.measure_all("cuda", n=N, seconds=0.3)}


def test_every_format_of_this_card_has_a_right_proved_and_sampled_row(rows):
    assert list(rows) == [kind.name for kind in products.device_kinds("cuda")]
    for name, row in rows.items():
        assert row["error"] <= row["bound"]
        assert row["unit"]["unit"] == KINDS[name].unit
        assert row["unit"]["kernel"]
        assert row["state"]["samples"] >= 2
        assert row["share"] is None or 0 < row["share"] < 1.02


def test_fp32_with_tf32_on_is_caught_by_the_profile(rows):
    if "tf32" not in rows:
        pytest.skip("this card has no TF32")
    made = products.operands(KINDS["fp32"], N, "cuda")
    with unit.tf32(True), pytest.raises(unit.UnitError, match="is TF32 on"):
        unit.prove(KINDS["fp32"], unit.profile(made.multiply))
    with unit.tf32(False):
        assert unit.prove(KINDS["fp32"], unit.profile(made.multiply)).unit == CUDA_CORES


def test_fp32_with_tf32_on_is_caught_by_the_error_too(rows):
    if "tf32" not in rows:
        pytest.skip("this card has no TF32")
    with unit.tf32(True), pytest.raises(products.WrongProduct):
        products.check(products.operands(KINDS["fp32"], N, "cuda"))


def test_tensor_cores_are_faster_than_cuda_cores_and_less_exact(rows):
    tensor = [row for name, row in rows.items() if KINDS[name].unit == TENSOR_CORES]
    assert tensor, "this card has Tensor Cores"
    for row in tensor:
        assert row["tflops"] > 1.5 * rows["fp32"]["tflops"]
        assert row["error"] > 10 * rows["fp32"]["error"]


def test_the_timer_agrees_with_tritons(rows):
    pytest.importorskip("triton")
    told = bench.bench("cuda", N, seconds=0.3)
    ratios = {row["kind"]: row["reference"]["ratio"] for row in told["rows"]}
    assert ratios == pytest.approx(dict.fromkeys(ratios, 1.0), abs=2 * bench.WITHIN)


def test_a_product_of_small_matrices_is_bound_by_its_launch_and_a_large_one_is_not():
    sweep = roofline.sweep("cuda", KINDS["fp16"], N)
    copy = roofline.bandwidth("cuda")
    peak = peaks.peak_of(bench.facts()["name"])
    ceiling = peak.tflops["fp16"] if peak else max(row["tflops"] for row in sweep)
    card = {
        "launch_seconds": min(row["best_seconds"] for row in sweep),
        "peak_tflops": ceiling,
        "bytes_per_second": copy["bytes_per_second"],
    }
    first, *_, last = (
        roofline.least(kinds.flops(row["n"]), KINDS["fp16"].bytes(row["n"]), **card)
        for row in sweep
    )
    assert (first["bound"], last["bound"]) == ("launch", "arithmetic")
    assert sweep[0]["tflops"] < sweep[-1]["tflops"] / 100


def test_the_measured_bandwidth_is_below_the_printed_one_and_not_far(a_real_gpu):
    peak = peaks.peak_of(a_real_gpu["name"])
    if peak is None:
        pytest.skip(f"no peaks are known for {a_real_gpu['name']}")
    speed = roofline.bandwidth("cuda")["bytes_per_second"]
    assert 0.7 < speed / peak.bandwidth < 1.0


def test_the_table_agrees_with_the_card(a_real_gpu):
    peak = peaks.peak_of(a_real_gpu["name"])
    if peak is None:
        pytest.skip(f"no peaks are known for {a_real_gpu['name']}")
    checked = peaks.check(peak, sms=a_real_gpu["sms"], mhz=a_real_gpu["highest_sm_mhz"])
    assert checked["sms"] == checked["sms_printed"]
    assert checked["ratio"] == pytest.approx(1, abs=0.15)
    assert a_real_gpu["l2_bytes"] <= timing.FLUSH_BYTES / 2


def test_a_size_that_does_not_fit_the_card_is_one_line():
    from gpubook.errors import BookError

    with pytest.raises(BookError, match="GiB free"):
        products.measure(KINDS["fp32"], device="cuda", n=1_000_000)
