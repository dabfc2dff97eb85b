"""Tabs: the same result from this run and from every machine that has a recording of it.

A group of radio buttons, one a machine, and a pane for each. It works without a script, also in
JupyterLab. Where the style is left out, every pane stands under its own heading. On the rendered
pages `gpubook.js` keeps all groups on the machine that was chosen last.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpubook.evidence.display import KEYS, Shown


def style(panes: int) -> str:
    """Shows the pane of the checked machine alone; on paper all, under their headings."""
    hidden = ",".join(
        f".gb-machines:has(>fieldset>label:nth-of-type({n})>input:checked)"
        f">.gb-pane:not(:nth-of-type({n}))"
        for n in range(1, panes + 1)
    )
    return (
        "@media screen{@supports selector(:has(*)){"
        f"{hidden},.gb-machines>.gb-pane>.gb-pane-title{{display:none}}}}}}"
        "@media print{.gb-machines>fieldset{display:none}}"
    )


@dataclass(frozen=True)
class Pane:
    """What one machine gave: its record, whether that was now, and how the page shows it."""

    record: Mapping
    live: bool
    shown: Sequence[Shown]

    @property
    def key(self) -> str:
        """What stays the same from group to group: the machine's short name, or ``this-run``."""
        return "this-run" if self.live else self.record["provenance"]["machine"]["name"]

    @property
    def name(self) -> str:
        """The tab's name: ``This run``, or the GPU, or the machine's short name."""
        if self.live:
            return "This run"
        described = self.record["provenance"]["machine"]
        gpus = described["gpus"]
        name = short_gpu(gpus[0]["name"]) if gpus else described["name"]
        return f"{len(gpus)} × {name}" if len(gpus) > 1 else name

    @property
    def mode(self) -> str:
        """``live``, or ``recorded`` with the year."""
        return "live" if self.live else f"recorded {self.record['provenance']['date'][:4]}"


def short_gpu(name: str) -> str:
    """A GPU's name as people say it: no vendor, no memory, no socket.

    >>> short_gpu("NVIDIA H100 80GB HBM3")
    'H100'
    """
    return re.sub(r"^(NVIDIA|Tesla)\s+|\s+(\d+\s?GB|HBM\w*|SXM\w*|PCIe|NVL)\b", "", name).strip()


_groups = 0


def machines(panes: Sequence[Pane]) -> Shown:
    """The panes, the first one shown. A single pane is shown as it is, without a tab.

    Raises ValueError when there are no panes, or two of one machine.
    """
    if not panes or len({pane.key for pane in panes}) < len(panes):
        raise ValueError("tabs need panes, and no two of one machine")
    texts = ["\n".join(map(repr, pane.shown)) for pane in panes]
    bodies = ["".join(part._repr_html_() for part in pane.shown) for pane in panes]
    if len(panes) == 1:
        return Shown(bodies[0], texts[0])
    global _groups
    _groups += 1
    names = [pane.name for pane in panes]
    names = [
        f"{name} ({pane.key})" if names.count(name) > 1 else name
        for name, pane in zip(names, panes, strict=True)
    ]
    evidence = panes[0].record["name"]
    labels, sections = [], []
    for n, (pane, name, body) in enumerate(zip(panes, names, bodies, strict=True)):
        checked = " checked" if n == 0 else ""
        mode = html.escape(pane.mode)
        look = "live" if pane.live else "recorded"
        name, key = html.escape(name), html.escape(pane.key)
        labels.append(
            f'<label class="gb-tab gb-tab-{look}"><input type="radio" {KEYS} '
            f'name="gb-machines-{_groups}-{html.escape(evidence)}" value="{key}"{checked}> '
            f"{name} <small>{mode}</small></label> "
        )
        sections.append(
            f'<div class="gb-pane" role="group" data-machine="{key}" '
            f'aria-label="{name}, {mode}"><p class="gb-pane-title"><strong>{name}</strong> '
            f"({mode})</p>{body}</div>"
        )
    markup = (
        f'<style>{style(len(panes))}</style><div class="gb-machines">'
        "<fieldset>"
        f"<legend>{html.escape(evidence)} on</legend>{''.join(labels)}</fieldset>"
        f"{''.join(sections)}</div>"
    )
    plain = "\n\n".join(
        f"== {name} ({pane.mode})\n{text}"
        for name, pane, text in zip(names, panes, texts, strict=True)
    )
    return Shown(markup, plain)
