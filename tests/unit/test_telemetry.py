"""The sampler sees work when there is work, and never stops the program it watches."""

import sys
import time

import pytest

from gpubook import telemetry
from tests.unit.fake_nvml import fake_nvml


def work(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


def test_samples_cover_the_run_in_order_and_end_with_it():
    with telemetry.Sampler(interval=0.05) as watch:
        work(0.4)
    count = len(watch.samples)
    times = [s["seconds"] for s in watch.samples]
    assert count >= 3
    assert times == sorted(times)
    assert times[-1] >= 0.4
    assert all(s["memory_bytes"] > 10 * 2**20 for s in watch.samples)
    time.sleep(0.15)
    assert len(watch.samples) == count, "the thread has ended"


def test_a_busy_process_shows_and_a_sleeping_one_does_not():
    with telemetry.Sampler(interval=0.1) as busy:
        work(0.5)
    with telemetry.Sampler(interval=0.1) as idle:
        time.sleep(0.5)
    mean = [sum(s["process_percent"] for s in w.samples) / len(w.samples) for w in (busy, idle)]
    assert mean[0] > 2 * mean[1]


def test_an_error_in_the_watched_program_passes_through_and_ends_the_thread():
    watch = telemetry.Sampler(interval=0.05)
    with pytest.raises(ZeroDivisionError), watch:
        _ = 1 / 0
    assert not watch._thread.is_alive()
    assert len(watch.samples) >= 1, "a short run has a sample, too"


@pytest.fixture
def nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml("a", "b"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_gpu_is_read_in_the_units_of_nvidia_smi_and_gaps_stay_gaps(nvml):
    with telemetry.Sampler(interval=0.05, gpu=0) as watch:
        work(0.2)
    now = telemetry.busiest(watch.samples)
    assert now == {
        "gpu_percent": 90,
        "gpu_memory_bytes": 3 * 2**30,
        "gpu_memory_total_bytes": 80 * 2**30,
        "power_watts": None,
        "power_limit_watts": 700.0,
        "temperature_celsius": 61,
        "performance_state": 0,
    }
    assert watch.samples[0]["power_watts"] is None, "a gap stays a gap"


@pytest.mark.parametrize(
    ("visible", "key", "value"), [("1", "gpu_percent", 91), ("", "sm_clock_mhz", None)]
)
def test_the_gpu_that_the_program_computes_on_is_read_and_without_one_there_are_gaps(
    nvml, monkeypatch, visible, key, value
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with telemetry.Sampler(interval=0.05, gpu=0) as watch:
        pass
    assert watch.samples[-1][key] == value


def test_the_busiest_moment_needs_a_gpu():
    with pytest.raises(ValueError, match="no GPU"):
        telemetry.busiest([{"seconds": 0.0, "cpu_percent": 50.0}])


def test_the_figure_has_the_loss_on_top_and_one_axis_for_each_quantity():
    losses = [(t / 10, 1 / (t + 1)) for t in range(30)]
    cpu = [{"seconds": 1.0, "process_percent": 150.0, "memory_bytes": 2**30}]
    gpu = [
        {"seconds": 1.0, "gpu_percent": 90, "power_watts": None, "temperature_celsius": 60} | cpu[0]
    ]
    for samples, count in ((cpu, 3), (gpu, 4)):
        figure = telemetry.draw(losses, samples)
        assert len(figure.axes) == count
        assert figure.axes[0].get_ylabel() == "loss"
        # Two clocks: the steps' own, and that of the whole run.
        assert figure.axes[0].get_xlabel() == "seconds of training steps"
        assert "loading and scoring included" in figure.axes[-1].get_xlabel()
        top, *machine = figure.axes
        assert not any(top.get_shared_x_axes().joined(top, axis) for axis in machine)
        assert all(top.get_shared_x_axes().joined(machine[0], axis) for axis in machine)
