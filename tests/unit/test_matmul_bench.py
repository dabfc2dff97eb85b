"""What `gpubook bench matmul` promises, and how it judges itself."""

from __future__ import annotations

import copy
import dataclasses
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


def changed(path, value):
    result = copy.deepcopy(GOOD)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return result


def test_a_good_run_holds_in_all_claims():
    assert failing(GOOD) == []
    assert len(bench.judge(GOOD)) == 5


@pytest.mark.parametrize("ratio", [0.96, 1.04])
def test_a_timer_more_than_three_percent_off_fails(ratio):
    (claim,) = failing(changed(["rows", 0, "reference", "ratio"], ratio))
    assert claim == "fp32 within 3% of do_bench"


def test_fp32_on_tensor_cores_fails():
    (claim,) = failing(changed(["rows", 0, "unit", "unit"], "Tensor Cores"))
    assert claim == "fp32 ran on CUDA cores"


def test_bf16_passes_by_its_rate_or_by_its_share_of_the_best():
    slow = changed(["rows", 1, "tflops"], 640)
    slow["bf16_sizes"] = [{"n": 8192, "tflops": 640}, {"n": 12288, "tflops": 650}]
    assert failing(slow) == []  # 640 is 98 % of the best of this card
    slow["bf16_sizes"][1]["tflops"] = 700
    assert len(failing(slow)) == 1


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


def test_without_a_gpu_the_cuda_bench_is_one_line(monkeypatch):
    here = machine.probe()
    none = {"gpu": machine.Capability(False, "no driver")}
    changed_machine = dataclasses.replace(here, capabilities=here.capabilities | none)
    monkeypatch.setattr(machine, "probe", lambda: changed_machine)
    with pytest.raises(BookError, match="no CUDA device here: no driver"):
        bench.bench("cuda")
