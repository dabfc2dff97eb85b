"""What `gpubook bench matmul` promises, and how it judges itself."""

from pathlib import Path

import pytest

from gpubook import machine
from gpubook.book import record
from gpubook.errors import BookError, UsageError
from gpubook.evidence import load_recording
from gpubook.matmul import bench, products, unit
from gpubook.matmul.kinds import KINDS

ROOT = Path(__file__).parents[2]


def row(kind, unit, ratio=1.0, tflops=700.0):
    return {
        "kind": kind,
        "n": 8192,
        "tflops": tflops,
        "unit": {"unit": unit} if unit else None,
        "reference": {"method": "do_bench", "ratio": ratio},
    }


GOOD = {
    "rows": [row("fp32", "CUDA cores", 1.01, 52), row("bf16", "Tensor Cores", 0.98, 700)],
    "bf16_sizes": [{"n": 8192, "tflops": 690}, {"n": 12288, "tflops": 710}],
}


def failing(result):
    return [claim["claim"] for claim in bench.judge(result) if not claim["holds"]]


def changed(number, sizes=(690, 710), **more):
    """The good run with other values in one of its rows."""
    rows = [dict(one) for one in GOOD["rows"]]
    rows[number] |= more
    return {"rows": rows, "bf16_sizes": [{"n": 8192, "tflops": rate} for rate in sizes]}


def test_a_good_run_holds_in_all_claims():
    assert failing(GOOD) == []
    assert len(bench.judge(GOOD)) == 5


@pytest.mark.parametrize(
    ("run", "claim"),
    [
        (changed(0, reference=row("", "", 0.96)["reference"]), "fp32 within 3% of do_bench"),
        (changed(0, reference=row("", "", 1.04)["reference"]), "fp32 within 3% of do_bench"),
        (changed(0, unit={"unit": "Tensor Cores"}), "fp32 ran on CUDA cores"),
        (changed(1, sizes=(640, 700), tflops=640), "bf16 at least 650 TFLOP/s"),
        (changed(1, sizes=(640, 650), tflops=640), ""),  # 98 % of the best of this card
    ],
)
def test_a_claim_that_does_not_hold_is_named(run, claim):
    assert [name[: len(claim)] for name in failing(run)] == ([claim] if claim else [])


def test_the_cpu_bench_times_each_format_beside_the_reference_in_turn():
    told = bench.bench("cpu", 96, seconds=0.01)
    assert told["device"] == "cpu"
    assert [r["kind"] for r in told["rows"]] == [k.name for k in products.device_kinds("cpu")]
    for one in told["rows"]:
        assert len(one["rounds_seconds"]) == len(one["reference"]["rounds_seconds"])
        assert one["reference"]["method"].startswith("torch.utils.benchmark")
    assert told["provenance"]["machine"]["cpu"] == machine.probe().cpu


def test_a_run_is_kept_as_a_recording_with_its_provenance(tmp_path):
    told = bench.bench("cpu", 64, seconds=0.01)
    path = record.record_bench(tmp_path, told, "some-cpu")
    assert path == tmp_path / "recordings" / "some-cpu" / "08-matmul" / "bench.json"
    kept = load_recording(path)
    assert kept["data"]["rows"] == told["rows"]
    assert kept["provenance"]["machine"]["name"] == "some-cpu"
    with pytest.raises(UsageError, match="is no name for a machine"):
        record.record_bench(tmp_path, told, "../elsewhere")


def test_every_recorded_bench_holds_all_its_claims():
    paths = sorted((ROOT / "recordings").glob("*/08-matmul/bench.json"))
    if not paths:
        pytest.skip("no machine's bench is recorded yet")
    for path in paths:
        data = load_recording(path)["data"]
        assert failing(data) == [], path
        for one in data["rows"]:
            assert one["tflops"] == pytest.approx(2 * one["n"] ** 3 / one["seconds"] / 1e12)
            assert one["error"] <= one["bound"]
            if one["unit"]:
                assert unit.decide(one["unit"]["kernel"]).unit == KINDS[one["kind"]].unit


def test_without_a_gpu_the_cuda_bench_is_one_line(without):
    without("gpu", "no driver")
    with pytest.raises(BookError, match="no CUDA device here: no driver"):
        bench.bench("cuda")
