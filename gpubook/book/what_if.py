"""What if: the roofline's formula for work that was not measured, beside what was recorded.

`product` and `step` say the least time that a card's printed ceilings allow, what bounds it and
how much memory it takes. `what_if.js` is the same in a browser; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gpubook.evidence.records import load_recording
from gpubook.matmul import kinds, peaks, roofline
from gpubook.matmul.kinds import Kind


@dataclass(frozen=True)
class Encoder:
    """The shape of a BERT, in the names of its ``config.json``, and its number of weights."""

    name: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    parameters: int

    @property
    def products(self) -> int:
        """Weights in the layers' matrices; the rest is the table of word vectors, a look-up."""
        inner = 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * inner


MODEL = Encoder("all-MiniLM-L6-v2", 6, 384, 1536, 12, 22_713_216)
"""The book's model: the shape from its ``config.json``, the count from its safetensors file."""

TRAINED = ("fp32", "tf32", "fp16", "bf16")
"""Formats that a training computes in."""


@dataclass(frozen=True)
class Card:
    """A card's printed ceilings, and the time of a launch where one was recorded."""

    name: str
    tflops: dict[str, float]
    bandwidth: float
    launch_seconds: float | None = None


def _answer(card: Card, kind: str, flops: float, moved: float, memory: float) -> dict:
    taken = roofline.least(
        flops,
        moved,
        peak_tflops=card.tflops[kind],
        bytes_per_second=card.bandwidth,
        launch_seconds=card.launch_seconds or 0.0,
    )
    return {"flops": flops, "moved_bytes": moved, "memory_bytes": memory} | taken


def product(card: Card, kind: Kind, n: int) -> dict:
    """A product of n × n matrices: operations, bytes, memory, and the least seconds."""
    return _answer(card, kind.name, kinds.flops(n), kind.bytes(n), kind.bytes(n))


def step_flops(model: Encoder, batch: int, length: int) -> int:
    """Operations of one training step: 6 a token and weight of the layers' products, and 12 a
    token, layer, value and length for the attention scores and their use (2 of each forward, twice
    as many backward)."""
    scores = 12 * model.num_hidden_layers * length * model.hidden_size
    return batch * length * (6 * model.products + scores)


def step_bytes(model: Encoder) -> int:
    """The fewest bytes that a step moves, in FP32 as weights are kept: the layers' weights are read
    forward and backward and their gradients written; AdamW reads weight, gradient and two moments
    and writes three of them. What the layers pass on to each other is not counted."""
    return 4 * (3 * model.products + 7 * model.parameters)


def step_memory(model: Encoder, kind: Kind, batch: int, length: int) -> int:
    """Bytes that a step needs: 16 a weight (weight, gradient, two moments, FP32) and what the
    forward pass keeps for the backward pass.

    The latter after Korthikanti et al., "Reducing activation recomputation in large transformer
    models", 2022, equation 1, with the mask of dropout at one byte: ``s·b·h·(34 + 5·a·s/h)`` a
    layer in 16 bits. Fused attention keeps less.
    """
    size, width = kind.size, model.hidden_size
    each = width * (16 * size + 2) + model.num_attention_heads * length * (2 * size + 1)
    return 16 * model.parameters + model.num_hidden_layers * batch * length * each


def step(card: Card, kind: Kind, batch: int, length: int, model: Encoder = MODEL) -> dict:
    """One training step of the book's model on ``batch`` texts of ``length`` tokens."""
    flops = step_flops(model, batch, length)
    memory = step_memory(model, kind, batch, length)
    return _answer(card, kind.name, flops, step_bytes(model), memory)


def _recorded(root: Path, pattern: str) -> Iterator[dict]:
    """Recordings of one evidence on GPUs that the table of peaks has, each with its ``card``."""
    for path in sorted((root / "recordings").glob(pattern)):
        record = load_recording(path)
        gpus = record["provenance"]["machine"]["gpus"]
        peak = peaks.peak_of(gpus[0]["name"]) if gpus else None
        if peak is not None:
            yield record | {"card": peak.name}


def _sweeps(root: Path) -> list[dict]:
    return list(_recorded(root, "*/09-roofline/roofline-gpu.json"))


def cards(root: Path) -> list[Card]:
    """The GPUs of the table of peaks; those with a recorded sweep know how long a launch takes."""
    launch = {
        record["card"]: min(row["best_seconds"] for row in record["data"]["sweep"])
        for record in _sweeps(root)
    }
    return [
        Card(peak.name, dict(peak.tflops), peak.bandwidth, launch.get(peak.name))
        for peak in peaks.table()
    ]


def products(root: Path) -> list[dict]:
    """What was recorded of products on GPUs: card, machine, kind, n and the best seconds."""
    measured = [
        (record, row)
        for record in _recorded(root, "*/08-matmul/products.json")
        for row in record["data"]["rows"]
        if row["device"] == "cuda"
    ]
    measured += [(record, row) for record in _sweeps(root) for row in record["data"]["sweep"]]
    return [
        {
            "card": record["card"],
            "machine": record["provenance"]["machine"]["name"],
            "kind": row["kind"],
            "n": row["n"],
            "seconds": row["best_seconds"] or row["seconds"],
        }
        for record, row in measured
    ]


def steps(root: Path) -> list[dict]:
    """What was recorded of trainings on GPUs, a row a rung of the ladder of notebook 12.

    A rung counts its useful operations; from these follow the tokens of its steps, padding
    included, and so their length.
    """
    rows = []
    for record in _recorded(root, "*/*/ladder.json"):
        batch, kind = 16, "fp32"  # the lowest rung; each one keeps what those before it changed
        for row in record["data"]:
            if match := re.fullmatch(r"batches of (\d+)", row["name"]):
                batch = int(match[1])
            kind = "bf16" if row["name"] == "BF16" else kind
            seconds = batch / row["messages_per_second"]
            tokens = row["tflops"] * 1e12 * seconds / (6 * MODEL.products)
            rows.append(
                {
                    "card": record["card"],
                    "machine": record["provenance"]["machine"]["name"],
                    "name": row["name"],
                    "kind": kind,
                    "batch": batch,
                    "length": round(tokens / (1 - row["padding_share"]) / batch),
                    "seconds": seconds,
                }
            )
    return rows


def data(root: Path) -> dict:
    """All that the page's script needs."""
    return {
        "cards": [asdict(card) for card in cards(root)],
        "kinds": [
            {"name": k.name, "title": k.title, "size": k.size, "out_size": k.out_size}
            for k in kinds.KINDS.values()
        ],
        "trained": list(TRAINED),
        "model": asdict(MODEL) | {"products": MODEL.products},
        "recorded": {"product": products(root), "step": steps(root)},
    }
