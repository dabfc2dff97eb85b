"""The command ``mat_mul``: the chapter's three lines, with a rate, a ceiling and an error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from gpubook import machine
from gpubook.errors import BookError, Parser, UsageError, exit_code, number


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="mat_mul",
        description="Multiply two square matrices of normal random numbers on the CPU, on CUDA "
        "cores and on Tensor Cores; check each product, prove the unit, and time it.",
    )
    # A product of fewer rows is not worth timing.
    size = {"type": number(int, 16), "help": "rows and columns (fits the memory)"}
    parser.add_argument("--n", metavar="N", **size)
    parser.add_argument("--dtype", default="", metavar="LIST", help="such as fp32,bf16 (all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(both, where there is a GPU)")
    parser.add_argument("--json", action="store_true", help="everything measured, as JSON")
    return parser


def line(row: dict) -> str:
    """One row for people: device, unit, format, N, seconds, rate, ceiling, spread, error."""
    where = row["unit"]["unit"] if row["unit"] else "CPU"
    share = f"{row['share']:5.1%} of peak" if row["share"] else "peak unknown "
    return (
        f"{where:<12} {row['kind'].upper():<5} N = {row['n']:>6,}  {row['seconds']:.6f} s  "
        f"{row['tflops']:9.3f} TFLOP/s  {share}  spread {row['spread']:5.1%}  "
        f"error {row['error']:.1e}"
    )


def run(args: argparse.Namespace) -> list[dict]:
    """Measure what was asked for, printing each line as it is ready. Returns the rows."""
    from gpubook.matmul import kinds, products

    names = [name for name in args.dtype.split(",") if name.strip()]
    for name in names:
        kinds.kind_named(name)
    gpu = machine.probe().capabilities["gpu"]
    if args.device == "cuda" and not gpu.available:
        raise BookError(f"no CUDA device here ({gpu.why}); drop --device, or use --device cpu")
    devices = [args.device] if args.device else ["cpu"] + ["cuda"] * gpu.available
    say = (lambda row: None) if args.json else (lambda row: print(line(row), flush=True))
    if not args.json:
        print(_header(devices))
    rows = []
    for device in devices:
        have = products.possible(device)
        chosen = [n for n in names if args.device or kinds.kind_named(n).name in have]
        if chosen or not names:
            rows += products.measure_all(device, n=args.n, names=chosen, progress=say)
    if not args.device and not gpu.available and not args.json:
        print(f"No GPU rows: {gpu.why}.")
    if not rows:
        raise UsageError(f"no device here multiplies {args.dtype}: TF32 and FP8 need a GPU")
    return rows


def _header(devices: Sequence[str]) -> str:
    import torch

    from gpubook.matmul import products, unit

    parts = [f"{products.device_name(device)}" for device in devices]
    parts[0] += f", {products.threads()} threads" if devices[0] == "cpu" else ""
    text = f"{'; '.join(parts)}; torch {torch.__version__}"
    if "cuda" in devices:
        text += "".join(f"; {k}={v}" for k, v in unit.settings().items() if v is not None)
    return f"{text}\nNormal random numbers; median of timed runs after a warm-up."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit 0 for success, 1 for a failure, 2 for misuse."""

    def command() -> int:
        args = _parser().parse_args(argv)
        rows = run(args)
        if args.json:
            from gpubook.evidence import records

            print(json.dumps({"rows": rows, "provenance": records.here()}, indent=1))
        return 0

    return exit_code("mat_mul", command)


if __name__ == "__main__":
    sys.exit(main())
