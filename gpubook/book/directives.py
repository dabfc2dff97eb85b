"""What the book's Sphinx extensions share: directives and roles whose HTML a function gives."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from gpubook import files
from gpubook.errors import BookError

fill = partial(files.filled, "gpubook.book")
"""HTML from a macro of markup.html."""


def raw(markup: str) -> nodes.raw:
    """HTML as a node of a page."""
    return nodes.raw("", markup, format="html")


class _Markup(SphinxDirective):
    make: Callable[..., str]

    def run(self) -> list[nodes.Node]:
        try:
            return [raw(self.make(Path(self.env.app.srcdir), *self.arguments))]
        except BookError as error:
            raise self.error(str(error)) from error


def add_directive(app: Sphinx, name: str, make: Callable[..., str], arguments: int = 0) -> None:
    """Let ``{name}`` stand for the HTML that ``make(root, *arguments)`` gives.

    A BookError is Sphinx's error at that place, so the pages are not made.
    """
    parts = {"make": staticmethod(make), "required_arguments": arguments}
    app.add_directive(name, type("Markup", (_Markup,), parts))


class _Value(SphinxRole):
    def __init__(self, make: Callable[[Path, str], tuple[str, str]]) -> None:
        self.make = make

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            value, source = self.make(Path(self.env.app.srcdir), self.text)
        except BookError as error:
            message = self.inliner.reporter.error(f"{self.text}: {error}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        title, text = html.escape(source), html.escape(value)
        return [raw(f'<span class="gb-value" title="{title}">{text}</span>')], []


def add_value(app: Sphinx, name: str, make: Callable[[Path, str], tuple[str, str]]) -> None:
    """Let ``{name}`` in a sentence stand for a value with its source; ``make`` gives both."""
    app.add_role(name, _Value(make))


def with_script(name: str, data: object) -> str:
    """The script ``NAME.js`` of this room with its data, and its style sheet.

    They stand in the page itself: no other page needs them, and they follow what they work on.
    """
    sheet = f"<style>{files.packaged('gpubook.book', f'{name}.css')}</style>"
    text = json.dumps(data).replace("</", "<\\/")
    given = f'<script type="application/json" id="gb-{name.replace("_", "-")}-data">{text}</script>'
    return f"{sheet}{given}<script>{files.packaged('gpubook.book', f'{name}.js')}</script>"
