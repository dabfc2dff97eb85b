"""``{gpubook-what-if} product`` and ``{gpubook-what-if} step``: a half of the page "What if".

Each is a table of what was recorded beside the least that the formula allows, computed when the
page is made, and above it controls that the page's script shows. Without a script the table stands
alone. The second half carries data and script.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

from gpubook.book import what_if
from gpubook.book.directives import add_directive, fill, with_script
from gpubook.book.words import brief
from gpubook.errors import BookError
from gpubook.matmul.kinds import KINDS

HALVES = ("product", "step")
FIRST = {"card": "H100 SXM", "kind": "bf16", "n": 8192, "batch": 64, "length": 24}
"""What the forms begin with."""


def _places(least: int, most: int, recorded: set[int]) -> list[int]:
    """Powers of two, what lies half-way between them, and what was recorded."""
    powers = [2**k for k in range(20) if least <= 2**k <= most]
    return sorted({*powers, *(3 * p // 2 for p in powers[:-1]), *recorded})


def controls(half: str, data: dict) -> str:
    """The form of one half, hidden until the script takes it."""
    recorded = data["recorded"][half]
    names = data["trained"] if half == "step" else [kind["name"] for kind in data["kinds"]]
    if half == "product":
        sliders = [("n", "N", _places(16, 65536, {r["n"] for r in recorded}), FIRST["n"])]
    else:
        batches, lengths = ({r[key] for r in recorded} for key in ("batch", "length"))
        sliders = [
            ("batch", "Batch", _places(1, 1024, batches), FIRST["batch"]),
            ("length", "Length in tokens", _places(8, 512, lengths), FIRST["length"]),
        ]
    return fill(
        "what_if",
        half=half,
        title="a matrix product" if half == "product" else "a training step",
        cards=[card["name"] for card in data["cards"]],
        card=FIRST["card"],
        formats=[(name, KINDS[name].title) for name in names],
        format=FIRST["kind"],
        sliders=sliders,
    )


def rows(half: str, root: Path) -> list[list[str]]:
    """The table: what was recorded, the least by the formula, and how many times that it took."""
    cards = {card.name: card for card in what_if.cards(root)}
    lines = []
    for row in what_if.products(root) if half == "product" else what_if.steps(root):
        card, kind = cards[row["card"]], KINDS[row["kind"]]
        if half == "product":
            answer = what_if.product(card, kind, row["n"])
            what = [f"{row['n']:,}"]
        else:
            answer = what_if.step(card, kind, row["batch"], row["length"])
            what = [row["name"], f"{row['batch']} × {row['length']}"]
        ratio = row["seconds"] / answer["seconds"]
        times = [brief(row["seconds"]), brief(answer["seconds"]), f"{ratio:.3g}"]
        machine = f"{row['card']} ({row['machine']})"
        lines.append([machine, kind.title, *what, *times, answer["bound"]])
    return lines


def table(half: str, root: Path) -> str:
    """`rows` as HTML."""
    what = ["N"] if half == "product" else ["Rung", "Batch × length"]
    heads = ["Card", "Format", *what, "Recorded", "Least", "Times the least", "Bound"]
    return fill("recorded", half=half, heads=heads, rows=rows(half, root))


def markup(root: Path, half: str) -> str:
    """One half of the page; the second carries the script."""
    if half not in HALVES:
        raise BookError(f"no half {half}: choose from {', '.join(HALVES)}")
    data = what_if.data(root)
    script = with_script("what_if", data) if half == HALVES[-1] else ""
    return controls(half, data) + table(half, root) + script


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    add_directive(app, "gpubook-what-if", markup, 1)
