"""More processes: the same scores, and honest arithmetic about the gain. Here with gloo."""

from dataclasses import replace

import pytest

from gpubook.spam import scaling

from .spam_tiny import RECIPE, collection, tiny_bert  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def told(tiny, tmp_path_factory):
    job = scaling.Job(
        source=str(tiny),
        data=str(collection(tmp_path_factory.mktemp("data"))),
        device="cpu",
        precision="fp32",
        batch_sizes=(16, 32),
        recipe=replace(RECIPE, dropout=0.0),
        timed=3,
    )
    return scaling.measure(job, (1, 2))


def test_two_processes_get_the_scores_of_one(told):
    one, two = told["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["test"]["f1"] > 0.9
    # Sums in another order round otherwise: one message of the test part may change sides.
    assert two["test"]["f1"] == pytest.approx(one["test"]["f1"], abs=0.03)
    low, high = one["test"]["f1_interval"]
    assert low <= two["test"]["f1"] <= high
    for epochs in zip(one["training"], two["training"], strict=True):
        assert epochs[0]["loss"] == pytest.approx(epochs[1]["loss"], rel=0.02)


def test_communication_is_the_time_in_kernels_of_nccl():
    kernels = {
        "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)": 0.25,
        "nvjet_sm90_tst_192x96_64x5_1x2_h_bz_NTT": 2.0,
        "Memcpy DtoD (Device -> Device)": 1.0,
        "ncclDevKernel_Broadcast_RING_LL(ncclDevKernelArgsStorage<4096ul>)": 0.5,
    }
    assert scaling.nccl_seconds(kernels) == 0.75


def test_speed_up_and_efficiency_are_ratios_of_measured_speeds(told):
    speed = {
        (row["processes"], int(size)): found["messages_per_second"]
        for row in told["rows"]
        for size, found in row["speeds"].items()
    }
    strong = {row["batch_size"]: row for row in told["strong"]}
    assert set(strong) == {16, 32}
    for size, row in strong.items():
        assert row["speed_up"] == pytest.approx(speed[2, size] / speed[1, size])
        assert row["efficiency"] == pytest.approx(row["speed_up"] / 2)
    (weak,) = told["weak"]
    assert weak["batch_size"] == 32
    assert weak["speed_up"] == pytest.approx(speed[2, 32] / speed[1, 16])
    faster = [size for size, row in strong.items() if row["speed_up"] > 1]
    assert told["wins_from"] == min(faster, default=None)


def test_a_job_that_fails_is_one_line(tiny, tmp_path):
    job = scaling.Job(
        source=str(tiny), data=str(tmp_path / "none"), device="cpu", precision="fp32",
        batch_sizes=(16,), recipe=RECIPE,
    )  # fmt: skip
    with pytest.raises(scaling.ScalingError, match="on 1 processes failed") as caught:
        scaling.measure(job, (1,))
    assert "\n" not in str(caught.value)
