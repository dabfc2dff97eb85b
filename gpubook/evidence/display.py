"""How evidence looks on a page: the chip, tables, figures, terminal transcripts.

Plain HTML and SVG with a text form beside it, so that pages need no script, no network and
no widget state. Colours come from ``currentColor`` where they can, so that both themes work.
"""

from __future__ import annotations

import html
import io
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gpubook import files
from gpubook.evidence.evidence import Evidence

_COLOURS = {"live": "#1a7f37", "recorded": "#9a6700"}
"""For JupyterLab, which does not load the book's style."""

_WORDY = 32
"""A column with more characters than this in a cell holds text, and gets room to wrap it."""

fill = partial(files.filled, "gpubook.evidence")
"""HTML from a macro of markup.html."""


class Shown:
    """Something with an HTML form and a text form, for Jupyter's display machinery."""

    def __init__(self, markup: str, text: str) -> None:
        self.markup, self.text = markup, text

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


def show(shown: Shown) -> None:
    """Show in a notebook; print in a plain Python session."""
    try:
        from IPython.display import display
    except ImportError:
        print(shown)
    else:
        display(shown)


def machine_line(provenance: Mapping) -> str:
    """One line that names a machine: GPU or processor, memory, driver, Docker, toolkit."""
    described, software = provenance["machine"], provenance["software"]
    words = [gpu["name"] for gpu in described["gpus"][:1]]
    if len(described["gpus"]) > 1:
        words[0] = f"{len(described['gpus'])} × {words[0]}"
    if not words and described["cpu"]:
        cores = described["cores"]
        words.append(described["cpu"] + (f", {cores} cores" if cores else ""))
    names = {"driver": "driver", "docker": "Docker", "toolkit": "toolkit", "slurm": "Slurm"}
    names |= {"torch": "torch"}
    words += [f"{label} {software[key]}" for key, label in names.items() if software.get(key)]
    return " · ".join(words)


def chip(evidence: Evidence) -> Shown:
    """One line that says live or recorded, on which machine, when; the rest folds out of it."""
    provenance, mode, name = evidence.provenance, evidence.mode, evidence.name
    line = f"{evidence.where} · {provenance['date'][:10]}"
    details = [machine_line(provenance), provenance["date"].replace("T", " ").replace("Z", " UTC")]
    if provenance["source"]:
        details.append(f"source: {provenance['source']}")
    if evidence.why:
        details.append(f"not measured here: {evidence.why}")
    detail = " · ".join(details)
    markup = fill("chip", evidence=evidence, colour=_COLOURS[mode], line=line, detail=detail)
    return Shown(markup, f"[{mode.upper()}] {name} · {line} ({detail})")


def solution(why: str, sources: Sequence[Evidence]) -> Shown:
    """Why an exercise's answer is so, and which evidences it was computed from."""
    names = ", ".join(f"{e.name} ({e.mode}: {e.where})" for e in sources)
    rest = f"Computed from {names}." if names else "No measurement is needed for it."
    markup = fill("solution", why=why, rest=rest)
    return Shown(markup, f"{' '.join(why.split())}\n{rest}")


def value(data: Any, *, caption: str = "", head: int | None = None) -> Shown:
    """Plain JSON as a reader wants to see it: rows as a table, a text as it was printed.

    A list of dictionaries is a table; a dictionary of single values has a row for each; anything
    else is text. With ``head``, lines of text after that many are folded away.
    """
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return table(data, _columns(data), caption=caption)
    if isinstance(data, dict) and data and all(map(_single, data.values())):
        rows = [{"what": _words(key), "value": _number(item)} for key, item in data.items()]
        return table(rows, {"what": "What", "value": "Value"}, caption=caption)
    if isinstance(data, list) and all(map(_single, data)):
        return text("\n".join(_number(item) for item in data), head=head)
    if isinstance(data, str):
        return text(data, head=head)
    if _single(data):
        return text(_number(data))
    return text(json.dumps(data, indent=2, ensure_ascii=False), head=head)


def _single(item: Any) -> bool:
    return item is None or isinstance(item, str | int | float)


def _words(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def _number(item: Any) -> str:
    return _cell(item, ",.4g" if isinstance(item, float) else "")


def _columns(rows: Sequence[Mapping]) -> dict[str, str | tuple[str, str]]:
    """Every key of any row, in order; a column of numbers with four significant digits."""
    columns: dict[str, str | tuple[str, str]] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        floats = any(isinstance(row.get(key), float) for row in rows)
        columns[key] = (_words(key), ",.4g") if floats else _words(key)
    return columns


def text(content: str, *, head: int | None = None) -> Shown:
    """A text as it was printed."""
    content = content.rstrip("\n")
    shown, folded = _fold(content, head)
    return Shown(fill("text", shown=shown, folded=folded), content)


def _fold(content: str, head: int | None) -> tuple[str, list[str]]:
    """The first ``head`` lines, and those that are folded away."""
    lines = content.split("\n")
    if head is None or len(lines) <= head:
        return content, []
    return "\n".join(lines[:head]), lines[head:]


def _cell(value: Any, spec: str) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, spec) if spec else str(value)


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str | tuple[str, str]] | None = None,
    *,
    caption: str = "",
) -> Shown:
    """A table of dictionaries.

    ``columns`` maps a row's keys to headers (with units) and sets their order; without it the
    first row's keys are used. A header of numbers comes with their format specification, such
    as ``("Time (s)", ".1f")``. ``None`` and an empty text show as a dash, true and false as yes
    and no. Everything is escaped.
    """
    asked = columns or {key: key for key in (rows[0] if rows else {})}
    heads = [head if isinstance(head, str) else head[0] for head in asked.values()]
    specs = ["" if isinstance(head, str) else head[1] for head in asked.values()]
    columns = list(zip(asked, specs, strict=True))
    lines = [[_cell(row.get(key), spec) for key, spec in columns] for row in rows]
    kinds = [
        _kind([row.get(key) for row in rows], spec, [line[n] for line in lines])
        for n, (key, spec) in enumerate(columns)
    ]
    markup = fill("table", caption=caption, heads=heads, lines=lines, kinds=kinds)
    plain = _aligned(heads, lines)
    return Shown(markup, f"{caption}\n{plain}" if caption else plain)


def _kind(values: Sequence[Any], spec: str, texts: Sequence[str]) -> str:
    """A column's class: numbers stand at the right, long texts get room to wrap."""
    if spec and any(isinstance(value, int | float) for value in values):
        return "number"
    return "text" if any(len(text) > _WORDY for text in texts) else ""


def _aligned(heads: list[str], lines: list[list[str]]) -> str:
    """A table as text, its columns one below the other."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    every = [heads, ["-" * width for width in widths], *lines]
    return "\n".join(
        "  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip() for line in every
    )


_figure = itertools.count(1)


def figure(fig: Any, *, alt: str, caption: str = "") -> Shown:
    """A matplotlib figure as inline SVG that is readable on light and dark pages.

    Black becomes the page's text colour, white backgrounds become transparent. ``alt``, the
    text for those who do not see the figure, is compulsory. The figure is closed.
    """
    if not alt.strip():
        raise ValueError("a figure needs an alternative text")
    import matplotlib
    from matplotlib import pyplot

    fig.patch.set_alpha(0)
    for axes in fig.axes:
        axes.patch.set_alpha(0)
        if axes.get_legend():
            axes.get_legend().get_frame().set_alpha(0)
    buffer = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "gpubook"}
    with matplotlib.rc_context(settings):
        fig.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(fig)
    svg = _in_the_pages_colours(buffer.getvalue())
    markup = inline_svg(svg, name=f"gbf{next(_figure)}", alt=alt, more=' fill="currentColor"')
    return Shown(fill("figure", drawing=markup, caption=caption), f"[figure: {alt}]")


def _in_the_pages_colours(svg: str) -> str:
    """matplotlib's SVG in the page's colours and fonts, as wide as drawn and no wider than it."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"#000000\b|(?<=[:\s])black\b", "currentColor", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 sans-serif", svg)
    width = r'style="width:\1pt;max-width:100%;height:auto"'
    return re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', width, svg, count=1)


def inline_svg(svg: str, *, name: str, alt: str, more: str = "") -> str:
    """An SVG file's text as an element of a page: ids of its own, and ``alt`` as its name."""
    svg = re.sub(r"<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    label = html.escape(alt, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"{more}', 1).strip()


def transcript(steps: Sequence[Mapping], *, head: int | None = None) -> Shown:
    """Commands and what they printed, as a terminal shows them.

    With ``head``, output after that many lines is folded away (nothing is left out).
    """
    shown: list[dict] = []
    plain: list[str] = []
    for step in steps:
        command, output = step["command"], step["stdout"].rstrip("\n")
        note = "" if step["exit_code"] == 0 else f"[exit code {step['exit_code']}]"
        first, folded = _fold(output, head)
        shown.append({"command": command, "shown": first, "folded": folded, "note": note})
        plain += [f"$ {command}", *([output] if output else []), *([note] if note else [])]
    return Shown(fill("transcript", steps=shown), "\n".join(plain))
