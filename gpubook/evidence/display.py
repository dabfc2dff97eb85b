"""How evidence looks on a page: the chip, tables, figures, terminal transcripts.

Plain HTML and SVG with a text form beside it, so that pages need no script, no network and
no widget state. Colours come from ``currentColor`` where they can, so that both themes work.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_COLOURS = {"live": "#1a7f37", "recorded": "#9a6700"}
"""For JupyterLab, which does not load the book's style."""

_WORDY = 32
"""A column with more characters than this in a cell holds text, and gets room to wrap it."""

KEYS = 'data-lm-suppress-shortcuts="true"'
"""Leaves arrow keys and Enter to what has the focus; JupyterLab would move between cells."""


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


def mode(*, live: bool) -> str:
    """``"live"`` or ``"recorded"``."""
    return "live" if live else "recorded"


def chip(record: Mapping, *, live: bool, why: str | None) -> Shown:
    """One line that says live or recorded, on which machine, when; the rest folds out of it."""
    provenance, mode_ = record["provenance"], mode(live=live)
    name = record["name"]
    machine = "this machine" if live else provenance["machine"]["name"]
    line = f"{machine} · {provenance['date'][:10]}"
    details = [machine_line(provenance), provenance["date"].replace("T", " ").replace("Z", " UTC")]
    if provenance["source"]:
        details.append(f"source: {provenance['source']}")
    if why:
        details.append(f"not measured here: {why}")
    detail = " · ".join(details)
    markup = (
        f'<details class="gb-evidence gb-{mode_}" style="border-left:0.3em solid '
        f'{_COLOURS[mode_]};padding:0 0.6em;margin:0.4em 0"><summary><strong>{mode_.upper()}'
        f'</strong> <span class="gb-evidence-name">{html.escape(name)}</span> · '
        f"{html.escape(line)}</summary>{html.escape(detail)}</details>"
    )
    return Shown(markup, f"[{mode_.upper()}] {name} · {line} ({detail})")


def inline(text: str) -> str:
    """Text as HTML, with code between single backticks."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(
        f"<code>{html.escape(part)}</code>" if n % 2 else html.escape(part)
        for n, part in enumerate(parts)
    )


def solution(why: str, sources: Sequence[tuple[Mapping, bool]]) -> Shown:
    """Why an exercise's answer is so, and which evidences (record, live) it was computed from."""
    names = []
    for record, live in sources:
        machine = "this machine" if live else record["provenance"]["machine"]["name"]
        names.append(f"{record['name']} ({mode(live=live)}: {machine})")
    rest = f"Computed from {', '.join(names)}." if names else "No measurement is needed for it."
    note = f"<p><small>{html.escape(rest)}</small></p>"
    markup = f'<div class="gb-solution-why"><p>{inline(why)}</p>{note}</div>'
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
    shown, rest = _fold(content.rstrip("\n"), head)
    markup = f'<div class="gb-terminal">{_pre(html.escape(shown))}{rest}</div>'
    return Shown(markup, content.rstrip("\n"))


def _fold(content: str, head: int | None) -> tuple[str, str]:
    """The first ``head`` lines, and the markup that folds the others."""
    lines = content.split("\n")
    if head is None or len(lines) <= head:
        return content, ""
    rest = _pre(html.escape("\n".join(lines[head:])))
    summary = f"<summary>{len(lines) - head} more lines</summary>"
    return "\n".join(lines[:head]), f'<details class="gb-more">{summary}{rest}</details>'


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
    pairs = {key: (head, "") if isinstance(head, str) else head for key, head in asked.items()}
    columns = {key: head for key, (head, _) in pairs.items()}
    formats = {key: spec for key, (_, spec) in pairs.items()}
    text = [[_cell(row.get(key), formats[key]) for key in columns] for row in rows]
    numeric = {
        key: any(isinstance(row.get(key), int | float) for row in rows) and formats[key] != ""
        for key in columns
    }
    wordy = [any(len(line[i]) > _WORDY for line in text) for i in range(len(columns))]
    style = [
        ' class="gb-number"' if numeric[key] else ' class="gb-text"' if long else ""
        for key, long in zip(columns, wordy, strict=True)
    ]
    head = "".join(
        f'<th scope="col"{s}>{html.escape(h)}</th>'
        for h, s in zip(columns.values(), style, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{s}>{html.escape(v)}</td>" for v, s in zip(line, style, strict=True))
        + "</tr>"
        for line in text
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    label = html.escape(caption or "table")
    markup = (
        f'<div class="gb-table" role="region" tabindex="0" aria-label="{label}"><table>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    widths = [
        max([len(h), *(len(line[i]) for line in text)]) for i, h in enumerate(columns.values())
    ]
    lines = [list(columns.values()), ["-" * w for w in widths], *text]
    plain = "\n".join(
        "  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    return Shown(markup, f"{caption}\n{plain}" if caption else plain)


_figures = 0


def figure(fig: Any, *, alt: str, caption: str = "") -> Shown:
    """A matplotlib figure as inline SVG that is readable on light and dark pages.

    Black becomes the page's text colour, white backgrounds become transparent. ``alt``, the
    text for those who do not see the figure, is compulsory. The figure is closed.
    """
    if not alt.strip():
        raise ValueError("a figure needs an alternative text")
    import matplotlib
    from matplotlib import pyplot

    global _figures
    _figures += 1
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
    markup = _inline_svg(buffer.getvalue(), prefix=f"gbf{_figures}-", alt=alt)
    note = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return Shown(f'<figure class="gb-figure">{markup}{note}</figure>', f"[figure: {alt}]")


def _inline_svg(text: str, *, prefix: str, alt: str) -> str:
    """Make a whole SVG file one element of a page: own ids, own colours, a name."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
    text = re.sub(r"#000000\b|(?<=[:\s])black\b", "currentColor", text)
    text = re.sub(r"font-family: [^;\"]+", "font-family: inherit", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 sans-serif", text)
    size = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', text)
    label = html.escape(alt, quote=True)
    opening = f'<svg role="img" aria-label="{label}" fill="currentColor"'
    if size:  # as wide as drawn, and no wider than the page
        text = text.replace(size[0], f'style="width:{size[1]}pt;max-width:100%;height:auto"', 1)
    return text.replace("<svg", opening, 1).strip()


def transcript(steps: Sequence[Mapping], *, head: int | None = None) -> Shown:
    """Commands and what they printed, as a terminal shows them.

    With ``head``, output after that many lines is folded away (nothing is left out).
    """
    blocks, plain = [], []
    for step in steps:
        command, output = step["command"], step["stdout"].rstrip("\n")
        note = "" if step["exit_code"] == 0 else f"[exit code {step['exit_code']}]"
        shown, rest = _fold(output, head)
        block = f'<span class="gb-command">{html.escape(command)}</span>'
        if shown:
            block += "\n" + html.escape(shown)
        if note:
            block += f'\n<span class="gb-exit">{html.escape(note)}</span>'
        blocks.append(f'<div class="gb-step">{_pre(block)}</div>{rest}')
        plain += [f"$ {command}", *([output] if output else []), *([note] if note else [])]
    return Shown(f'<div class="gb-terminal">{"".join(blocks)}</div>', "\n".join(plain))


def _pre(content: str) -> str:
    return '<pre tabindex="0" role="region" aria-label="terminal output">' + content + "</pre>"
