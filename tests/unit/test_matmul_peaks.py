"""Peaks with sources, and the roofline's arithmetic."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubook.matmul import kinds, peaks, roofline
from gpubook.matmul.kinds import KINDS

NAMES = [peak.name for peak in peaks.table()]


@pytest.mark.parametrize("peak", peaks.table(), ids=NAMES)
def test_a_card_has_sourced_dense_peaks_for_the_formats_that_it_computes(peak):
    assert "NVIDIA" in peak.source
    assert any(word in peak.source for word in ("20", "datasheet", "whitepaper"))
    assert peak.nvml
    assert 1e11 < peak.bandwidth < 1e13
    capability = tuple(map(int, peak.capability.split(".")))
    computed = {name for name, kind in KINDS.items() if capability >= kind.capability}
    assert set(peak.tflops) == set(peak.flop_per_sm_clock) == computed
    for kind, printed in peak.tflops.items():  # multiprocessors, clock and width give the same
        assert printed == pytest.approx(peak.derived(kind), rel=0.025), kind
    # a figure with sparsity among dense ones would break the factor of two
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8")):
        if {wide, narrow} <= set(peak.tflops):
            assert peak.tflops[narrow] / peak.tflops[wide] == pytest.approx(2, rel=0.03)
    assert peak.tflops.get("bf16", peak.tflops.get("fp16")) == peak.tflops.get("fp16")


def test_the_table_goes_from_v100_to_b200():
    assert (NAMES[0], NAMES[-1]) == ("V100 SXM2", "B200")
    assert {"RTX A4000", "A100 SXM 40 GB", "L4", "RTX 4090", "H100 SXM", "H200"} < set(NAMES)


def test_a_card_is_found_by_its_whole_name_only():
    assert peaks.peak_of("NVIDIA H100 80GB HBM3").name == "H100 SXM"
    assert peaks.peak_of("NVIDIA H100 PCIe").name == "H100 PCIe"
    assert peaks.peak_of("NVIDIA H100 NVL").name == "H100 NVL"
    assert peaks.peak_of("NVIDIA H100") is None
    everyone = [name for peak in peaks.table() for name in peak.nvml]
    assert len(set(everyone)) == len(everyone)


def test_the_check_compares_the_printed_peak_with_what_nvml_allows():
    peak = peaks.peak_of("NVIDIA H100 80GB HBM3")
    assert peaks.check(peak, sms=132, mhz=1980)["ratio"] == pytest.approx(1, abs=0.01)
    half = peaks.check(peak, sms=66, mhz=1980)  # a slice of a card has half of everything
    assert half["ratio"] == pytest.approx(2, abs=0.02)
    assert half["sms"] != half["sms_printed"]


def test_intensity_of_a_product_is_two_thirds_n_over_the_size_of_a_number():
    assert kinds.intensity(KINDS["fp32"], 6) == pytest.approx(1)
    assert kinds.intensity(KINDS["bf16"], 3000) == pytest.approx(1000)
    # FP8 reads one byte a number and writes two
    assert kinds.intensity(KINDS["fp8"], 2000) == pytest.approx(1000)


def test_the_roof_is_memory_below_the_ridge_and_arithmetic_above():
    machine = {"peak_tflops": 989.4, "bytes_per_second": 3350e9}
    ridge = 295.34
    assert roofline.attainable(ridge, **machine) == pytest.approx(989.4, rel=1e-4)
    assert roofline.attainable(ridge / 2, **machine) == pytest.approx(989.4 / 2, rel=1e-4)
    assert roofline.attainable(ridge * 2, **machine) == 989.4


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e4), st.floats(1e9, 1e13), st.floats(1.0, 100.0))
def test_no_roof_is_above_the_peak_and_more_intensity_never_lowers_it(x, peak, speed, factor):
    roof = roofline.attainable(x, peak_tflops=peak, bytes_per_second=speed)
    higher = roofline.attainable(x * factor, peak_tflops=peak, bytes_per_second=speed)
    assert roof <= peak
    assert higher >= roof


def test_products_go_from_launch_to_memory_to_arithmetic():
    # a made-up card: 5 µs a launch, 1 TB/s, 1000 TFLOP/s
    card = {"launch_seconds": 5e-6, "peak_tflops": 1000, "bytes_per_second": 1e12}
    told = [
        roofline.least(kinds.flops(n), KINDS["bf16"].bytes(n), **card) for n in (32, 1024, 8192)
    ]
    assert [row["bound"] for row in told] == ["launch", "memory", "arithmetic"]
    assert [row["seconds"] for row in told] == pytest.approx(
        [5e-6, 6 * 1024**2 / 1e12, 2 * 8192**3 / 1e15]
    )
    assert told[2]["roof_tflops"] == 1000
    assert told[0]["intensity"] == pytest.approx(kinds.intensity(KINDS["bf16"], 32))


@pytest.mark.parametrize("largest", [512, 600, 32])
def test_sizes_double_up_to_the_largest(largest):
    *powers, last = roofline.sizes(largest)
    assert (powers[0], last) == (16, largest)
    assert all(b == 2 * a for a, b in itertools.pairwise(powers))
    assert powers[-1] < last <= 2 * powers[-1]


def test_a_copy_moves_each_byte_twice(monkeypatch):
    monkeypatch.setitem(roofline.COPY_BYTES, "cpu", 2**20)
    copy = roofline.bandwidth("cpu", seconds=0.01)
    assert copy["moved_bytes"] == 2 * copy["array_bytes"] == 2**21
    assert copy["bytes_per_second"] == pytest.approx(2**21 / copy["best_seconds"])
