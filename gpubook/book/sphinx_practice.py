"""Small parts of pages: reading times, the checklist, and folds.

- ``{gpubook-reading}``: a prose page's line on how long it is to read.
- ``{gpubook-checklist}``: the final project's checklist, from the list that the command verifies.
- A cell tagged ``hide-cell`` folds under its own name, by the browser alone.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gpubook.book.sphinx_doctor import inline
from gpubook.book.words import reading_minutes
from gpubook.project.items import ENGINE_ITEMS, ITEMS


class _Reading(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        text = Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")
        minutes = reading_minutes(text)
        words = f"About {minutes} minute{'s' if minutes > 1 else ''} of reading; no computing."
        time = nodes.paragraph("", "", nodes.strong("", "Time:"), nodes.Text(f" {words}"))
        time["classes"].append("gb-reading")
        return [time]


class _Checklist(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        checklist = nodes.definition_list(classes=["gb-checklist"])
        for item in ITEMS.values():
            term = nodes.term("", "", nodes.literal(item.id, item.id), nodes.Text(f" {item.what}"))
            engine = " Takes a Docker Engine." if item.id in ENGINE_ITEMS else ""
            why = nodes.paragraph("", "", *inline(f"{item.why[:1].upper()}{item.why[1:]}.{engine}"))
            hint = nodes.paragraph("", "", nodes.emphasis("", "Hint:"), nodes.Text(" "))
            hint += inline(item.how)
            checklist += nodes.definition_list_item("", term, nodes.definition("", why, hint))
        return [checklist]


def _fold(self: Any, node: nodes.Element) -> None:
    classes = " ".join(["admonition", "hide", "gb-fold", *node["classes"]])
    self.body.append(
        f'<details class="{classes}"><summary><span class="admonition-title">'
        f"{html.escape(node['prompt_show'])}</span></summary>\n"
    )


def _unfold(self: Any, _node: nodes.Element) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_directive("gpubook-reading", _Reading)
    app.add_directive("gpubook-checklist", _Checklist)
    app.add_node(HideCodeCellNode, override=True, html=(_fold, _unfold))
