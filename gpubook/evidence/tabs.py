"""Tabs: the same result from this run and from every machine that has a recording of it.

A group of radio buttons, one a machine, and a pane for each. It works without a script, also in
JupyterLab. Where the style is left out, every pane stands under its own heading. On the rendered
pages `gpubook.js` keeps all groups on the machine that was chosen last.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from gpubook.evidence.display import Shown, chip, fill, value
from gpubook.evidence.evidence import Evidence

_group = itertools.count(1)


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


def short_gpu(name: str) -> str:
    """A GPU's name as people say it: no vendor, no memory, no socket.

    >>> short_gpu("NVIDIA H100 80GB HBM3")
    'H100'
    """
    return re.sub(r"^(NVIDIA|Tesla)\s+|\s+(\d+\s?GB|HBM\w*|SXM\w*|PCIe|NVL)\b", "", name).strip()


def _key(evidence: Evidence) -> str:
    """What stays the same from group to group: the machine's short name, or ``this-run``."""
    return "this-run" if evidence.live else evidence.machine


def _name(evidence: Evidence) -> str:
    """The tab's name: ``This run``, or the GPU, or the machine's short name."""
    if evidence.live:
        return "This run"
    gpus = evidence.provenance["machine"]["gpus"]
    name = short_gpu(gpus[0]["name"]) if gpus else evidence.machine
    return f"{len(gpus)} × {name}" if len(gpus) > 1 else name


def _names(evidences: Sequence[Evidence]) -> list[str]:
    """Each tab's name; equal ones are told apart by the machines."""
    names = [_name(evidence) for evidence in evidences]
    return [
        f"{name} ({_key(evidence)})" if names.count(name) > 1 else name
        for name, evidence in zip(names, evidences, strict=True)
    ]


def _when(evidence: Evidence) -> str:
    """``live``, or ``recorded`` with the year."""
    return "live" if evidence.live else f"recorded {evidence.provenance['date'][:4]}"


def machines(panes: Sequence[tuple[Evidence, Any]]) -> Shown:
    """Each evidence under its chip, with what is shown of it; the first pane is open.

    A single pane is shown as it is, without a tab. Raises ValueError when there are no panes, or
    two of one machine.
    """
    evidences = [evidence for evidence, _ in panes]
    if not panes or len({_key(evidence) for evidence in evidences}) < len(panes):
        raise ValueError("tabs need panes, and no two of one machine")
    bodies = [_body(evidence, drawing) for evidence, drawing in panes]
    if len(panes) == 1:
        return bodies[0]
    what = evidences[0].name
    tabs = [
        {"key": _key(e), "name": name, "mode": e.mode, "when": _when(e), "body": body.markup}
        for e, name, body in zip(evidences, _names(evidences), bodies, strict=True)
    ]
    group = f"gb-machines-{next(_group)}-{what}"
    markup = fill("machines", what=what, group=group, style=style(len(panes)), tabs=tabs)
    titles = (f"== {tab['name']} ({tab['when']})" for tab in tabs)
    plain = "\n\n".join(f"{t}\n{body!r}" for t, body in zip(titles, bodies, strict=True))
    return Shown(markup, plain)


def _body(evidence: Evidence, drawing: Any) -> Shown:
    above, below = chip(evidence), drawing if isinstance(drawing, Shown) else value(drawing)
    return Shown(above.markup + below.markup, f"{above!r}\n{below!r}")
