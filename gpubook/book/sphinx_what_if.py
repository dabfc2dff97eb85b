"""``{gpubook-what-if} product`` and ``{gpubook-what-if} step``: a half of the page "What if".

Each is a table of what was recorded beside the least that the formula allows, computed when the
page is made, and above it controls that the page's script shows. Without a script the table stands
alone. The second half carries data and script.
"""

from __future__ import annotations

import html
from pathlib import Path

from sphinx.application import Sphinx

from gpubook.book import what_if
from gpubook.book.directives import add_directive, with_script
from gpubook.book.words import brief
from gpubook.errors import BookError
from gpubook.matmul.kinds import KINDS

HALVES = ("product", "step")
FIRST = {"card": "H100 SXM", "kind": "bf16", "n": 8192, "batch": 64, "length": 24}
"""What the forms begin with."""


def _select(name: str, label: str, options: list[tuple[str, str]], chosen: str) -> str:
    inner = "".join(
        f'<option value="{html.escape(value)}"{" selected" if value == chosen else ""}>'
        f"{html.escape(text)}</option>"
        for value, text in options
    )
    return f'<label>{label}<select name="{name}">{inner}</select></label>'


def _slider(name: str, label: str, values: list[int], chosen: int) -> str:
    return (
        f"<label>{label}: <output></output>"
        f'<input type="range" name="{name}" min="0" max="{len(values) - 1}" step="1" '
        f'value="{values.index(chosen)}" data-values="{" ".join(map(str, values))}"></label>'
    )


def _places(least: int, most: int, recorded: set[int]) -> list[int]:
    """Powers of two, what lies half-way between them, and what was recorded."""
    powers = [2**k for k in range(20) if least <= 2**k <= most]
    return sorted({*powers, *(3 * p // 2 for p in powers[:-1]), *recorded})


def controls(half: str, data: dict) -> str:
    """The form of one half, hidden until the script takes it."""
    recorded = data["recorded"][half]
    names = data["trained"] if half == "step" else [kind["name"] for kind in data["kinds"]]
    cards = [(card["name"], card["name"]) for card in data["cards"]]
    formats = [(name, KINDS[name].title) for name in names]
    fields = [
        _select("card", "Card", cards, FIRST["card"]),
        _select("kind", "Format", formats, FIRST["kind"]),
    ]
    if half == "product":
        fields.append(_slider("n", "N", _places(16, 65536, {r["n"] for r in recorded}), FIRST["n"]))
    else:
        batches, lengths = ({r[key] for r in recorded} for key in ("batch", "length"))
        fields.append(_slider("batch", "Batch", _places(1, 1024, batches), FIRST["batch"]))
        fields.append(
            _slider("length", "Length in tokens", _places(8, 512, lengths), FIRST["length"])
        )
    said = {
        "seconds": "Least time",
        "bound": "Bound by",
        "memory": "Memory",
        "work": "Work",
        "recorded": "Recorded",
    }
    answer = "".join(f'<dt>{text}</dt><dd data-say="{key}"></dd>' for key, text in said.items())
    title = "a matrix product" if half == "product" else "a training step"
    return (
        f'<form class="gb-what-if" id="gb-what-if-{half}" aria-label="What if: {title}" hidden>'
        f'<div class="fields">{"".join(fields)}</div>'
        f'<div role="status"><dl>{answer}</dl></div>'
        '<svg viewBox="0 0 340 235" role="img"></svg></form>'
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
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows(half, root)
    )
    return (
        f'<div class="gb-what-if-table" id="gb-what-if-{half}-recorded" tabindex="0" '
        'role="region" aria-label="Recorded points"><table class="table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


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
