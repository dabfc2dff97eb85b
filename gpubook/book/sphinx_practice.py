"""What a page says of itself and what folds on it: times, solutions.

- A notebook's page says, below its title, how long the computing took in this build, on which
  machine, and how long reading takes. Nothing of it is typed in.
- ``{gpubook-took}`NOTEBOOK` ``, or ``all``: the same computing time within a sentence.
- ``{gpubook-reading}``: a prose page's line on how long it is to read.
- ``{gpubook-checklist}``: the final project's checklist, from the list that the command verifies.
- A cell tagged ``hide-cell`` folds under its own name, by the browser alone.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.typing import ExtensionMetadata

from gpubook.book.sphinx_ext import executed_folder, load_results
from gpubook.errors import BookError

WORDS_A_MINUTE = 200
"""Of technical text, read by people to whom some of it is new."""


def duration(seconds: float) -> str:
    """``"8 seconds"``, ``"3.6 minutes"``: rounded as far as it can be repeated."""
    if seconds < 60:
        return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"
    minutes = seconds / 60
    return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"


def reading_minutes(text: str) -> int:
    """Minutes that a text takes: every word of it counts, code and tables as well."""
    return max(1, round(len(re.findall(r"\w+", text)) / WORDS_A_MINUTE))


def visible_text(cells: list[dict[str, Any]]) -> str:
    """What a reader of an executed notebook sees unfolded: prose, code, what it printed."""
    parts = []
    for cell in cells:
        tags = cell["metadata"].get("tags", ())
        if "hide-cell" in tags:
            continue
        if "remove-input" not in tags:
            parts.append("".join(cell["source"]))
        for output in cell.get("outputs", ()):
            data = output.get("data", {}).get("text/plain", output.get("text", ""))
            parts.append("".join(data))
    return "\n".join(parts)


def machine_of(result: dict[str, Any]) -> str:
    """The machine that executed a notebook, in words; empty when nothing was measured on it."""
    from gpubook.evidence.display import machine_line

    live = [e["record"]["provenance"] for e in result["evidences"] if e["mode"] == "live"]
    if not live:
        return ""
    here = live[-1] | {"software": {}}
    return machine_line(here) + ("" if here["machine"]["gpus"] else ", no GPU")


def time_note(result: dict[str, Any] | None, text: str) -> dict[str, Any]:
    """The Markdown cell below a notebook's title: computing as measured, reading as counted."""
    lines = []
    if result is not None:
        modes = [item["mode"] for item in result["evidences"]]
        where = machine_of(result)
        lines.append(
            f"- **Computing:** {duration(result['finished'] - result['started'])} when this page "
            f"was made{f' (on {where})' if where else ''}. {modes.count('live')} of its "
            f"{len(modes)} results were measured then, the others replayed."
        )
    minutes = reading_minutes(text)
    lines.append(f"- **Reading:** about {minutes} minutes; exercises come on top.")
    source = "\n".join(["**How long it takes**", "", ":::{container} gb-took", *lines, ":::"])
    return {"cell_type": "markdown", "id": "gb-time-note", "metadata": {}, "source": source}


def with_time_note(source: str, result: dict[str, Any] | None) -> str:
    """An executed notebook's text with the note after its first cell."""
    book = json.loads(source)
    book["cells"].insert(1, time_note(result, visible_text(book["cells"])))
    return json.dumps(book)


def _add_time_note(app: Sphinx, docname: str, source: list[str]) -> None:
    from gpubook.book.execute import load_result

    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    out = executed_folder(Path(app.srcdir)).parent
    found = (out / "results" / f"{path.stem}.json").is_file()
    source[0] = with_time_note(source[0], load_result(out, path.stem) if found else None)


class _Took(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            results = load_results(Path(self.env.app.srcdir))
            chosen = [r for r in results if self.text in ("all", r["notebook"])]
            if not chosen:
                raise BookError(f"no notebook {self.text} was executed")
        except BookError as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        text = duration(sum(r["finished"] - r["started"] for r in chosen))
        where = next((w for r in reversed(chosen) if (w := machine_of(r))), "the builder's machine")
        markup = (
            f'<span class="gb-value" title="{html.escape(f"measured in this build, on {where}")}">'
            f"{html.escape(text)}</span>"
        )
        return [nodes.raw("", markup, format="html")], []


class _Reading(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        text = Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")
        minutes = reading_minutes(text)
        words = f"About {minutes} minute{'s' if minutes > 1 else ''} of reading; no computing."
        made = nodes.paragraph("", "", nodes.strong("", "Time:"), nodes.Text(f" {words}"))
        made["classes"].append("gb-reading")
        return [made]


class _Checklist(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        from gpubook.book.sphinx_doctor import inline
        from gpubook.project.items import ENGINE_ITEMS, ITEMS

        made = nodes.definition_list(classes=["gb-checklist"])
        for item in ITEMS.values():
            term = nodes.term("", "", nodes.literal(item.id, item.id), nodes.Text(f" {item.what}"))
            engine = " Takes a Docker Engine." if item.id in ENGINE_ITEMS else ""
            why = nodes.paragraph("", "", *inline(f"{item.why[:1].upper()}{item.why[1:]}.{engine}"))
            hint = nodes.paragraph("", "", nodes.emphasis("", "Hint:"), nodes.Text(" "))
            hint += inline(item.how)
            made += nodes.definition_list_item("", term, nodes.definition("", why, hint))
        return [made]


def _fold(self: Any, node: nodes.Element) -> None:
    classes = " ".join(["admonition", "hide", "gb-fold", *node["classes"]])
    self.body.append(
        f'<details class="{classes}"><summary><span class="admonition-title">'
        f"{html.escape(node['prompt_show'])}</span></summary>\n"
    )


def _unfold(self: Any, _node: nodes.Element) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.connect("source-read", _add_time_note, priority=900)  # after the executed one is read
    app.add_role("gpubook-took", _Took())
    app.add_directive("gpubook-reading", _Reading)
    app.add_directive("gpubook-checklist", _Checklist)
    app.add_node(HideCodeCellNode, override=True, html=(_fold, _unfold))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
