"""Timing code against a fake GPU whose clock is known, and against torch's own timer."""

from __future__ import annotations

import pytest

from gpubook.matmul import timing
from gpubook.matmul.timing import Timing
from tests.fake_gpu import FakeGpu


def timed(gpu, **settings):
    return timing.time_cuda(gpu.run, cuda=gpu, flush=gpu.flush, **settings)


def test_each_run_is_timed_by_its_own_pair_of_events_in_seconds():
    gpu = FakeGpu([0.02])
    taken = timed(gpu, seconds=0.5)
    assert taken.seconds == pytest.approx([0.02] * len(taken.seconds))
    assert taken.median == pytest.approx(0.02)


def test_overwriting_the_cache_is_not_part_of_the_time():
    slow, fast = FakeGpu([0.02], flush_seconds=5), FakeGpu([0.02], flush_seconds=0)
    assert timed(slow).median == pytest.approx(timed(fast).median)


def test_the_cache_is_overwritten_before_every_run_and_all_are_queued_before_the_one_wait():
    gpu = FakeGpu([0.02])
    count = len(timed(gpu, seconds=0.2).seconds)
    assert gpu.log[-1] == "synchronize"
    assert gpu.log[-(4 * count) - 1 : -1] == ["flush", "record", "run", "record"] * count


def test_what_the_first_run_costs_is_not_counted():
    taken = timed(FakeGpu([9.0, 0.02], flush_seconds=0))
    assert max(taken.seconds) == pytest.approx(0.02)
    assert len(taken.seconds) == len(
        timed(FakeGpu([0.02], flush_seconds=0)).seconds
    )  # nor does it cut the rest


@pytest.mark.parametrize(("seconds", "runs"), [(3.0, 5), (0.01, 50), (1e-6, 200)])
def test_slow_products_run_five_times_and_fast_ones_as_long_as_asked(seconds, runs):
    assert len(timed(FakeGpu([seconds], flush_seconds=0), seconds=0.5).seconds) == runs


def test_without_a_flush_the_method_says_that_the_cache_was_left_warm():
    gpu = FakeGpu([0.02])
    taken = timing.time_cuda(gpu.run, cuda=gpu, flush=None)
    assert "flush" not in gpu.log
    assert "L2 left warm" in taken.method
    assert "L2 overwritten before each" in timed(FakeGpu([0.02])).method


def test_quantiles_and_spread_of_known_runs():
    taken = Timing((5.0, 1.0, 2.0, 3.0, 4.0, 60.0), "by hand")
    assert (taken.median, taken.best) == (3.5, 1.0)
    assert taken.fifths == pytest.approx((2.0, 5.0))
    assert taken.spread == pytest.approx(3 / 3.5)
    assert taken.record()["runs"] == 6


def test_a_single_run_has_no_spread():
    assert Timing((2.0,), "by hand").spread == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cpu_timing_runs_on_the_threads_that_it_names(threads):
    import torch

    seen = set()
    taken = timing.time_cpu(
        lambda: seen.add(torch.get_num_threads()), threads=threads, seconds=0.01
    )
    assert seen == {threads}
    assert f"torch.utils.benchmark, {threads} threads" in taken.method
    assert len(taken.seconds) >= 1


def test_a_cpu_timing_follows_the_clock():
    import time

    taken = timing.time_cpu(lambda: time.sleep(0.02), threads=1, seconds=0.1)
    assert 0.02 <= taken.median < 0.2


def test_two_series_compare_by_their_medians():
    assert timing.compare([1.0, 2.0, 9.0], [4.0, 4.0, 1.0]) == 0.5
