"""The benches' arithmetic and judgement, on figures made up here; the ways on a tiny model."""

import os

import pytest

from gpubook.errors import UsageError
from gpubook.evidence.records import load_recording
from gpubook.spam import bench, sharing, trainer
from gpubook.spam.model import Backend
from tests.conftest import ROOT

from .spam_tiny import synthetic, tiny_bert  # noqa: F401 - a fixture

WAYS = {
    "chapter": {"messages_per_second": 300.0, "seconds": 40.0},
    "tuned": {"messages_per_second": 1000.0, "seconds": 15.0},
    "ours": {"messages_per_second": 7500.0, "seconds": 5.0},
}


def result(device, **changes):
    made = {
        "device": device,
        "ratios": bench._ratios([WAYS], whole=device == "cuda"),
        "quality": [{"seconds": 120.0, "f1": 0.96}, {"seconds": 140.0, "f1": 0.99}],
        "f1_mean": 0.975,
    }
    return made | changes


def test_ratios_compare_speeds_and_whole_times():
    assert bench._ratios([WAYS], whole=True) == {
        "steady": 25.0,
        "steady_over_tuned": 7.5,
        "whole": 8.0,
        "whole_over_tuned": 3.0,
    }
    assert "whole" not in bench._ratios([WAYS], whole=False), "the chapter's way was cut short"


def test_the_ratios_are_the_medians_of_the_rounds():
    slow = WAYS | {"ours": {"messages_per_second": 1500.0, "seconds": 25.0}}
    fast = WAYS | {"ours": {"messages_per_second": 9000.0, "seconds": 4.0}}
    assert bench._ratios([slow, WAYS, fast], whole=True)["steady"] == 25.0


def test_whole_times_are_compared_in_the_first_round_alone():
    short = WAYS | {"chapter": {"messages_per_second": 300.0, "seconds": 4.0}}
    assert bench._ratios([WAYS, short, short], whole=True)["whole"] == 8.0


def test_the_share_of_the_peak_counts_six_operations_a_weight_and_token(monkeypatch):
    ours = {"messages_per_second": 16_000.0, "tokens_per_message": 25.0}
    rounds = [{"ours": ours}, {"ours": ours | {"messages_per_second": 1.0}}, {"ours": ours}]
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    told = bench._share_of_peak(rounds)
    # The layers of BERT-base have 85 million weights in their products.
    assert told["tflops"] == pytest.approx(6 * 84_934_656 * 16_000 * 25 / 1e12)
    assert told["share"] == pytest.approx(told["tflops"] / told["printed_tflops"])
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Unknown GPU")
    assert bench._share_of_peak(rounds)["share"] is None


def test_each_promise_is_judged_and_a_missed_one_says_so():
    told = {claim["claim"]: claim["holds"] for claim in bench.judge(result("cuda"))}
    assert told == {
        "steady ratio at least": True,
        "steady_over_tuned ratio at least": True,
        "whole ratio at least": False,
    }
    told = {claim["claim"]: claim["holds"] for claim in bench.judge(result("cpu"))}
    assert told == {
        "steady ratio at least": True,
        "mean spam F1 at least": True,
        "seconds at most": True,
    }
    slow = result("cpu", quality=[{"seconds": 151.0, "f1": 0.9}], f1_mean=0.9)
    missed = [claim["claim"] for claim in bench.judge(slow) if not claim["holds"]]
    assert missed == ["mean spam F1 at least", "seconds at most"]


def test_weak_scaling_is_judged_at_twice_the_batch_on_two():
    rows = [
        {"processes": 2, "batch_size": size, "speed_up": gain, "efficiency": gain / 2}
        for size, gain in ((128, 1.7), (256, 1.9))
    ]
    (claim,) = bench.judge_scaling(rows)
    assert (claim["value"], claim["holds"]) == (1.7, False)


def test_under_torchrun_the_bench_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(UsageError, match="starts torchrun itself") as caught:
        bench.scale()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gpus", [0, 1])
def test_gpus_are_compared_where_there_are_two(monkeypatch, gpus):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    with pytest.raises(UsageError, match=f"compares GPUs, and here it finds {gpus}$"):
        bench.scale()


@pytest.mark.parametrize(("visible", "first"), [(None, "0"), ("2,3", "2"), ("", "")])
def test_a_way_sees_one_gpu_so_that_trainer_does_not_share_batches_out(monkeypatch, visible, first):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    bench._see_one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == first


@pytest.mark.parametrize("way", ["chapter", "tuned"])
def test_trainer_trains_the_chapters_way_and_as_well_as_it_can(tiny, tmp_path, way):
    settings = trainer.CHAPTER if way == "chapter" else trainer.tuned(Backend("cpu", "fp32"), 8)
    told = trainer.fit(
        synthetic().train, tiny, tmp_path / "model", settings,
        pad_all=way == "chapter", most_steps=4, skip=1,
    )  # fmt: skip
    assert told["steps"] == 3
    assert told["messages_per_second"] > 0
    assert told["settings"]["pad_all_to"] == (128 if way == "chapter" else None)
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.fixture
def ways(monkeypatch):
    """The bench without its trainings: a list of what it would run, and made-up figures."""
    asked = []

    def alone(way, _model, _scratch, _backend, seed, whole):
        asked.append((way, seed, whole))
        scores = {"f1": 0.97, "tokens_per_message": 25.0}
        return WAYS.get(way, WAYS["ours"]) | scores

    monkeypatch.setattr(bench, "_alone", alone)
    monkeypatch.setattr(bench, "_base_sized", lambda folder: folder)
    monkeypatch.setattr(bench.assets, "model_path", lambda *_: "small")
    return asked


def test_on_a_gpu_trainer_goes_all_epochs_in_the_first_of_the_rounds(ways, monkeypatch):
    monkeypatch.setattr(bench, "choose_backend", lambda _device: Backend("cuda", "bf16"))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Unknown GPU")
    told = bench.train("cuda", seeds=(3, 4))
    assert len(told["rounds"]) == bench.GPU_ROUNDS >= 5
    assert {tuple(r) for r in told["rounds"]} == {("chapter", "tuned", "ours", "frozen")}
    assert [whole for name, _, whole in ways if name == "chapter"] == [True, *[False] * 4]
    assert ways[-2:] == [("ours", 3, False), ("ours", 4, False)], "the scores, one a seed"


def test_on_a_processor_each_seed_is_a_round_and_its_training_the_score(ways, monkeypatch):
    monkeypatch.setattr(bench, "choose_backend", lambda _device: Backend("cpu", "fp32"))
    told = bench.train("cpu", seeds=(3, 4))
    assert [seed for name, seed, _ in ways if name == "ours"] == [3, 4]
    assert not any(whole for *_, whole in ways)
    assert {tuple(r) for r in told["rounds"]} == {("chapter", "tuned", "ours")}
    assert told["peak"] is None and len(told["quality"]) == 2


def recorded(name):
    return load_recording(ROOT / f"recordings/h100/12-what-makes-it-fast/{name}.json")["data"]


def test_what_the_pages_say_of_the_recorded_training_holds():
    train = recorded("bench-train")
    speeds = [{k: v["messages_per_second"] for k, v in r.items()} for r in train["rounds"]]
    for speed in speeds:
        assert sorted(speed, key=speed.get) == list(speed), "the order is the same in all rounds"
    assert all(ways["ours"]["recipe"]["train_embeddings"] for ways in train["rounds"])
    assert train["peak"]["messages_per_second"] > 15_000 and train["peak"]["share"] > 0.2
    rate = 6 * 84_934_656 * train["rounds"][0]["ours"]["tokens_per_message"] / 1e12
    assert train["peak"]["tflops"] == pytest.approx(rate * train["peak"]["messages_per_second"])
    assert all(run["recipe"]["batch_size"] == 256 for run in train["quality"])
    seeds = {run["seed"]: run for run in train["quality"]}
    assert len(seeds) >= 5 and train["f1_mean"] > 0.96


def test_what_the_pages_say_of_the_recorded_steps_holds():
    steps = recorded("step-variants")
    speed = {name: row["messages_per_second"] for name, row in steps["variants"].items()}
    ladder = ["padded-64", "padded-256", "packed-three-products-256", "packed-flash-256"]
    ladder = [speed[name] for name in (*ladder, "packed-256")]
    assert ladder == sorted(ladder)
    assert speed["packed-256"] < speed["compiled-256"] < 1.1 * speed["packed-256"], "a small gain"
    kernels = {name: row["ms"] for name, row in steps["kernels"].items()}
    assert sum(kernels.values()) == pytest.approx(steps["kernel_milliseconds"])
    third = kernels["matrix-products"] / steps["kernel_milliseconds"]
    assert 0.3 < third < 0.37
    for row in steps["variants"].values():
        assert row["lowest"] <= row["messages_per_second"] <= row["highest"]
        assert row["share"] == pytest.approx(row["tflops"] / steps["printed_tflops"])


def test_what_the_pages_say_of_the_recorded_sharing_holds():
    share = recorded("bench-share")
    assert share["mps"] is None, "the server ran"
    gain = {(r["way"], r["shape"], r["processes"]): r["times_one"] for r in share["rows"]}
    large, small = sharing.SHAPES
    for shape in (large, small):
        for count in (2, 4):
            assert gain["time slices", shape, count] < 1 < gain["MPS", shape, count]
    assert gain["MPS", small, 4] > gain["MPS", large, 4]
