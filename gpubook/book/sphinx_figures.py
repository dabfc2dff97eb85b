"""Our own drawings inside the pages, where they take the page's colours: still and stepped.

- ``{gpubook-diagram} FILE.svg …``: a drawing, or several panels side by side that stand below
  one another where it is narrow. The content is the caption.
- ``{gpubook-steps} FILE.svg …``: a drawing that changes from step to step. The content is
  a numbered list, an item a step, and after it the caption.
- ``{gpubook-early} MACHINE/NOTEBOOK/NAME``: a recording of page 08's ``no-wait`` as two bars.

``:alt:`` is the text for those who do not see it, a line for each file. In a stepped drawing an
element of the class ``from-3`` is there from step 3 on, one of ``until-3`` up to step 3, and one
of ``at-3`` is set off while step 3 is shown. The steps are radio buttons and CSS
(`book/_static/figures.css`): no script. A page opens, and prints, with the last step.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gpubook.book.directives import add_directive, fill, raw
from gpubook.book.words import brief
from gpubook.evidence import Evidence, load_recording
from gpubook.evidence.display import chip, inline_svg

MOST_STEPS = 8
"""The style sheet has rules for this many steps."""


def step_classes(svg: str) -> set[int]:
    """The steps that a drawing's elements name (``from-2``, ``until-4``, ``at-3``)."""
    named = (word for words in re.findall(r'class="([^"]+)"', svg) for word in words.split())
    matches = (re.fullmatch(r"(?:from|until|at)-(\d+)", word) for word in named)
    return {int(match[1]) for match in matches if match}


_EARLY = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 340 118">
<text class="name" x="2" y="14">what the stopwatch said: {returned}</text>
<rect class="recorded" x="2" y="22" width="{short:.1f}" height="24" rx="3"/>
<text class="name" x="2" y="74">how long the product took: {finished}</text>
<rect class="gpu" x="2" y="82" width="334" height="24" rx="3"/>
</svg>"""


def early_svg(data: dict) -> str:
    """When the call came back and when the product was over (s), to scale."""
    return _EARLY.format(
        returned=brief(data["returned_s"]),
        finished=brief(data["finished_s"]),
        short=max(2.0, 334 * data["returned_s"] / data["finished_s"]),
    )


def early(root: Path, place: str) -> str:
    """The two bars of a recording, and where it was made."""
    record = load_recording(root / "recordings" / f"{place}.json")
    data = record["data"]
    times = [brief(data[key]) for key in ("returned_s", "finished_s")]
    alt = f"Two bars to scale: {' and '.join(times)}."
    drawing = inline_svg(early_svg(data), name="gb-early", alt=alt)
    note = chip(Evidence(record, live=False)).markup
    return f'<figure class="gb-diagram gb-drawing">{drawing}{note}</figure>'


class _Diagram(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 - docutils' interface

    def drawings(self) -> tuple[str, str]:
        """The files as markup, and the first one's name."""
        files = self.arguments[0].split()
        alts = [line.strip() for line in self.options.get("alt", "").splitlines() if line.strip()]
        if len(alts) != len(files):
            raise self.error(
                "a diagram needs :alt:, the text for those who do not see it: a line for each "
                f"file, so {len(files)}, not {len(alts)}"
            )
        markup = ""
        for file, alt in zip(files, alts, strict=True):
            relative, path = self.env.relfn2path(file)
            try:
                svg = Path(path).read_text(encoding="utf-8")
            except OSError as error:
                raise self.error(f"no diagram {relative}: {error.strerror}") from error
            markup += inline_svg(svg, name=Path(file).stem, alt=alt)
            self.sources = [*getattr(self, "sources", []), svg]
        kind = "gb-drawing gb-panels" if len(files) > 1 else "gb-drawing"
        return f'<div class="{kind}">{markup}</div>', Path(files[0]).stem

    def content_nodes(self) -> list[nodes.Node]:
        holder = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, holder)
        return holder.children

    def run(self) -> list[nodes.Node]:
        markup, _ = self.drawings()
        figure = nodes.container(classes=["gb-diagram"])
        figure += raw(markup)
        if self.content:
            figure += nodes.container("", *self.content_nodes(), classes=["gb-caption"])
        return [figure]


class _Steps(_Diagram):
    option_spec = {  # noqa: RUF012 - docutils' interface
        "alt": directives.unchanged_required,
        "title": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        markup, name = self.drawings()
        if not self.options.get("title"):
            raise self.error("a stepped figure needs :title:, what happens in it")
        steps, *caption = self.content_nodes() or [None]
        if not isinstance(steps, nodes.enumerated_list):
            raise self.error("a stepped figure begins with a numbered list, an item for each step")
        count = len(steps.children)
        if not 2 <= count <= MOST_STEPS:
            raise self.error(f"a stepped figure has 2 to {MOST_STEPS} steps, not {count}")
        beyond = sorted(n for svg in self.sources for n in step_classes(svg) if n > count)
        if beyond:
            raise self.error(f"the drawing names step {beyond[0]}, the list has {count}")
        for n, item in enumerate(steps.children, 1):
            item["ids"] = [f"{name}-caption-{n}"]
        steps["classes"].append("gb-step-captions")
        controls = fill("steps", name=name, count=count, title=self.options["title"])
        figure = nodes.container(classes=["gb-diagram"])
        figure += raw(f'<fieldset class="gb-steps">{controls}')
        figure += steps
        figure += raw(f"{markup}</fieldset>")
        if caption:
            figure += nodes.container("", *caption, classes=["gb-caption"])
        return [figure]


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_directive("gpubook-diagram", _Diagram)
    add_directive(app, "gpubook-early", early, 1)
    app.add_directive("gpubook-steps", _Steps)
