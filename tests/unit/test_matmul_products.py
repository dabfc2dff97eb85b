"""Products: correct first, fitted to memory, told apart by device; the command's manners."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from gpubook.errors import BookError
from gpubook.matmul import cli, kinds, products
from gpubook.matmul.kinds import KINDS
from gpubook.matmul.products import WrongProduct

GIB = 2**30


def made(name="fp32", n=128):
    return products.operands(KINDS[name], n, "cpu")


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("n", [64, 200, 512])
def test_a_right_product_passes_and_its_error_is_below_the_bound(name, n):
    checked = products.check(made(name, n))
    assert 0 < checked["error"] <= checked["bound"]


def test_the_bounds_follow_the_formats_bits():
    allowed = {name: kind.error_bound(1024) for name, kind in KINDS.items()}
    assert allowed["fp32"] < allowed["tf32"] < allowed["bf16"]
    assert allowed["fp16"] == pytest.approx(2**-11, rel=0.01)
    assert allowed["bf16"] == pytest.approx(2**-8, rel=0.01)
    assert allowed["fp32"] < 1e-5  # so a product in TF32 cannot pass for FP32
    assert 7e-4 < allowed["tf32"] < allowed["bf16"] / 3


def test_an_fp32_product_with_operands_rounded_to_tf32_does_not_pass_for_fp32():
    pair = made("fp32", 256)
    keep = ~((1 << 13) - 1)  # TF32 keeps 10 of FP32's 23 bits behind the point
    rounded = [(m.view(torch.int32) & keep).view(torch.float32) for m in (pair.a, pair.b)]
    error = products.relative_error(pair.a, pair.b, rounded[0] @ rounded[1])
    assert error > 10 * KINDS["fp32"].error_bound(256)


@pytest.mark.parametrize("wrong", ["transposed", "one row missing", "NaN", "infinite", "nothing"])
def test_a_wrong_product_is_an_error(monkeypatch, wrong):
    pair = made("bf16", 96)
    pair.multiply()  # "nothing" leaves this right product where it is

    def multiply(self):
        if wrong == "nothing":
            return self.out
        torch.mm(self.a, self.b, out=self.out)
        if wrong == "transposed":
            self.out.copy_(self.out.t().clone())
        elif wrong == "one row missing":
            self.out[7] = 0
        elif wrong == "NaN":
            self.out[3, 5] = float("nan")
        else:
            self.out[3, 5] = float("inf")
        return self.out

    monkeypatch.setattr(products.Operands, "multiply", multiply)
    with pytest.raises(WrongProduct, match="off by"):
        products.check(pair)


def test_the_estimated_error_is_the_exact_one_within_its_sampling():
    pair = made("bf16", 300)
    product = pair.multiply()
    assert product is pair.out, "multiplying needs no new memory"
    exact = pair.a.double() @ pair.b.double()
    error = ((product.double() - exact).norm() / exact.norm()).item()
    assert products.relative_error(pair.a, pair.b, product) == pytest.approx(error, rel=0.1)
    assert torch.isfinite(product).all()


def test_operands_are_normal_reproducible_and_never_zeros():
    first, second = made(n=256), made(n=256)
    assert (first.a == second.a).all()
    assert (first.a != first.b).any()
    assert abs(first.a.mean().item()) < 0.05
    assert first.a.std().item() == pytest.approx(1, abs=0.05)
    assert not products.operands(KINDS["fp32"], 64, "cpu", zeros=True).a.any()


def test_a_row_has_its_rate_from_its_own_seconds():
    row = products.measure(KINDS["fp32"], device="cpu", n=96, seconds=0.01)
    assert row["tflops"] == pytest.approx(2 * 96**3 / row["seconds"] / 1e12)
    assert (row["peak_tflops"], row["share"], row["unit"]) == (None, None, None)
    assert row["error"] <= row["bound"]
    assert f", {products.threads()} threads" in row["method"]


def test_the_share_is_of_the_cards_peak_for_that_format():
    shares = products.rates(KINDS["bf16"], 8192, 1.4e-3, "NVIDIA H100 80GB HBM3")
    assert shares["tflops"] == pytest.approx(785.4, abs=0.1)
    assert shares["share"] == pytest.approx(785.4 / 989.4, rel=1e-3)
    assert products.rates(KINDS["bf16"], 64, 1, "A card of tomorrow")["share"] is None
    assert products.rates(KINDS["bf16"], 64, 1, "Tesla T4")["share"] is None  # T4 has no BF16


def test_a_size_that_fits_stays_and_the_arithmetic_is_shown():
    fitted = kinds.fit(KINDS["fp32"], 8192, 80 * GIB)
    assert fitted.n == 8192
    assert fitted.need_bytes == 3 * 4 * 8192**2
    assert fitted.text == "N = 8,192 needs 0.75 GiB of 80.0 GiB free"


def test_a_default_size_shrinks_until_it_fits_and_says_so():
    fitted = kinds.fit(KINDS["fp32"], 25_000, 4 * GIB)
    assert fitted.need_bytes <= 0.8 * 4 * GIB
    assert fitted.n % 256 == 0
    assert kinds.need(KINDS["fp32"], fitted.n + 256, 0) > 0.8 * 4 * GIB
    assert "N = 25,000 made smaller" in fitted.text


def test_a_given_size_that_does_not_fit_is_one_line_with_the_arithmetic():
    with pytest.raises(BookError, match=r"N = 25,000 needs 6\.98 GiB of 4\.0 GiB free") as caught:
        kinds.fit(KINDS["fp32"], 25_000, 4 * GIB, shrink=False)
    assert "\n" not in str(caught.value)
    assert "--n" in str(caught.value)


def test_memory_holds_the_numbers_that_narrow_formats_are_rounded_from_and_the_scratch():
    n = 1024
    assert kinds.need(KINDS["bf16"], n, 0) == (2 + 2 + 2 + 4) * n * n
    assert kinds.need(KINDS["fp8"], n, 7) == (1 + 1 + 2 + 4) * n * n + 7


@pytest.mark.parametrize(
    ("kind", "message", "raised", "says"),
    [
        (RuntimeError, "DefaultCPUAllocator: can't allocate memory", BookError, "machine's memory"),
        (torch.OutOfMemoryError, "cuda", BookError, "GPU's memory ran out"),
        (RuntimeError, "shapes do not match", RuntimeError, "shapes"),  # a fault of ours
    ],
)
def test_memory_that_runs_out_is_one_line(monkeypatch, kind, message, raised, says):
    def fail(*_, **__):
        raise kind(message)

    monkeypatch.setattr(products, "operands", fail)
    with pytest.raises(raised, match=says):
        products.measure(KINDS["fp32"], device="cpu", n=64)


@pytest.mark.parametrize(
    ("flags", "formats"),
    [
        ("fpu sse2 avx2", ["fp32"]),
        ("avx512f avx512_bf16", ["fp32", "bf16"]),
        ("amx_bf16 amx_fp16 avx512_fp16", ["fp32", "bf16", "fp16"]),
        ("fp asimd fphp asimdhp", ["fp32", "fp16"]),
        ("asimdhp bf16 i8mm", ["fp32", "bf16", "fp16"]),
        ("", ["fp32"]),
    ],
)
def test_a_cpus_flags_tell_the_formats_it_computes(flags, formats):
    assert products.cpu_formats(frozenset(flags.split())) == formats


def test_the_state_is_the_median_clock_and_the_highest_power_and_heat():
    names = ("sm_clock_mhz", "power_watts", "temperature_celsius")
    rows = [(1980, 300.0, 50), (1200, 690.0, 61), (1500, 400.0, 58), (None, None, 40)]
    samples = [dict(zip(names, row, strict=True)) for row in rows]
    assert products.state(samples) == {"sm_mhz": 1500, "watts": 690.0, "celsius": 61, "samples": 3}
    assert products.state(samples[3:]) is None, "a slice of a card tells nothing"


def run(capsys, *arguments):
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def without_gpu(without):
    without("gpu", "no NVIDIA driver answers")


def test_without_a_gpu_the_cpus_lines_and_one_line_why_are_printed(capsys, without_gpu):
    code, out, err = run(capsys, "--n", "64", "--dtype", "fp32")
    assert (code, err) == (0, "")
    (line,) = [row for row in out.splitlines() if row.startswith("CPU ")]
    for part in ("FP32", "N =     64", " s ", "TFLOP/s", "peak unknown", "spread", "error"):
        assert part in line
    assert out.splitlines()[-1] == "No GPU rows: no NVIDIA driver answers."


def test_the_json_holds_rows_and_provenance_and_nothing_else_is_printed(capsys, without_gpu):
    code, out, _ = run(capsys, "--n", "64", "--dtype", "fp32", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["rows"][0]["n"] == 64
    assert told["provenance"]["software"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--dtype", "fp9"], 2, "unknown dtype 'fp9': choose from fp32, tf32"),
        (["--device", "cpu", "--dtype", "tf32"], 2, "TF32 has no product on"),
        (["--n", "many"], 2, "invalid whole number value"),
        (["--n", "8"], 2, "at least 16"),
        (["--device", "tpu"], 2, "invalid choice"),
        (["--device", "cpu", "--dtype", "fp8"], 2, "FP8 has no product on"),
        (["--dtype", "tf32"], 2, "need a GPU"),
        (["--device", "cuda"], 1, "no CUDA device here"),
        (["--device", "cpu", "--n", "10000000"], 1, "GiB free"),
    ],
)
def test_misuse_and_missing_means_are_one_clear_line(capsys, without_gpu, arguments, code, says):
    got, _, err = run(capsys, *arguments)
    assert got == code
    assert says in err
    assert err.startswith("mat_mul: ")
    assert err.count("\n") == 1


def test_a_gpu_row_names_its_unit_and_its_share():
    row = {
        "unit": {"unit": "Tensor Cores"}, "kind": "bf16", "n": 8192, "seconds": 0.0014,
        "tflops": 785.4, "share": 0.794, "spread": 0.01, "error": 1.6e-3,
    }  # fmt: skip
    line = cli.line(row)
    assert line.startswith("Tensor Cores BF16  N =  8,192  0.001400 s")
    assert "79.4% of peak" in line


def test_help_answers_without_torch():
    code = "import sys; from gpubook.matmul import cli\ntry: cli.main(['--help'])\nfinally: "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n")


def test_cuda_work_runs_with_tf32_off_but_for_the_tf32_row():
    switch = torch.backends.cuda.matmul
    for name, expected in (("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")):
        with products.precision(KINDS[name], "cuda"):
            assert switch.fp32_precision == expected
