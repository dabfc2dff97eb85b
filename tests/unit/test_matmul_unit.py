"""CUDA cores or Tensor Cores, from the names of kernels of several generations."""

import pytest

from gpubook.matmul import unit
from gpubook.matmul.kinds import CUDA_CORES, KINDS, TENSOR_CORES
from gpubook.matmul.unit import UnitError
from tests.captured import KERNELS

HOPPER_FP32 = (
    "sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize128x128x8_stage3_warpsize2x2x1_ffma_"
    "aligna4_alignc4_execute_kernel__5x_cublas"
)
TF32_ON = "void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_256x128_16x3_nn_align4>(T1::Params)"
HELPER = "void cublasLt::splitKreduce_kernel<32, 16, int, float, float, float, float>(...)"


@pytest.mark.parametrize("row", KERNELS, ids=lambda row: row["kernel"][:40])
def test_a_published_kernel_is_told_as_those_who_profiled_it_did(row):
    decision = unit.decide(row["kernel"])
    assert decision.unit == row["unit"]
    assert decision.reason
    assert decision.mark
    assert decision.mark in row["kernel"]


def test_the_published_kernels_cover_five_generations_and_both_units():
    known = KERNELS
    assert {r["generation"] for r in known} == {"Volta", "Turing", "Ampere", "Hopper", "Blackwell"}
    assert {r["unit"] for r in known} == {CUDA_CORES, TENSOR_CORES}
    for row in known:  # the format that was profiled claims the same unit
        assert KINDS[row["kind"]].unit == row["unit"]


def test_a_kernel_for_an_older_architecture_is_told_by_its_instruction_not_by_its_number():
    assert unit.decide(HOPPER_FP32).unit == CUDA_CORES
    assert unit.decide(HOPPER_FP32).mark == "ffma"
    assert unit.decide(HOPPER_FP32.replace("_ffma", "_tensor16x8x8")).unit == TENSOR_CORES


@pytest.mark.parametrize(
    "kernel",
    [
        "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>(...)",
        HELPER,
        "my_gemm",
        "ampere_sgemm_128x64_tensorop",  # fits rules of both
        "",
    ],
)
def test_a_name_that_tells_nothing_decides_nothing(kernel):
    assert unit.decide(kernel).unit is None


def test_the_longest_kernel_that_tells_its_unit_decides():
    kernels = {HELPER: 9.0, "ampere_sgemm_128x64_nn": 1.0, TF32_ON: 2.0}
    assert unit.decide_all(kernels).kernel == TF32_ON


@pytest.mark.parametrize(
    ("kind", "kernel", "says"),
    [
        ("fp32", TF32_ON, r"should run on CUDA cores but ran on Tensor Cores.*TF32"),
        ("tf32", HOPPER_FP32, "should run on Tensor Cores but ran on CUDA cores"),
        ("fp16", "my_gemm", "cannot be told"),
        ("fp16", "", "CUPTI"),  # no kernel at all
    ],
)
def test_a_row_that_ran_elsewhere_than_it_claims_is_an_error(kind, kernel, says):
    assert unit.prove(KINDS["fp32"], {HOPPER_FP32: 1.0}).unit == CUDA_CORES
    with pytest.raises(UnitError, match=says):
        unit.prove(KINDS[kind], {kernel: 1.0} if kernel else {})


def test_tf32_is_switched_for_a_block_and_put_back_even_after_a_failure():
    import torch

    switch = torch.backends.cuda.matmul
    before = switch.fp32_precision
    with unit.tf32(True):
        assert switch.fp32_precision == "tf32"
        with unit.tf32(False):
            assert switch.fp32_precision == "ieee"
        assert switch.fp32_precision == "tf32"
    with pytest.raises(ZeroDivisionError), unit.tf32(True):
        raise ZeroDivisionError
    assert switch.fp32_precision == before


def test_the_settings_in_force_show_the_switch_and_the_overrides(monkeypatch):
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with unit.tf32(True):
        assert unit.settings() == {
            "torch.backends.cuda.matmul.fp32_precision": "tf32",
            "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
            "NVIDIA_TF32_OVERRIDE": None,
        }
