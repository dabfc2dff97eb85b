"""Notebook 03's tables and its figure: which columns, in which order, under which names.

A *request* is a `docker run` line; what the page knows of its containers is kept by request.
``names`` maps the requests that a table shows to their short names there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpubook.evidence import Evidence, table
from gpubook.injection.cdi import Finding, Line
from gpubook.injection.classes import CLASSES
from gpubook.injection.classify import Item, injected, unknown
from gpubook.injection.difference import Difference
from gpubook.injection.path import Decision

STUB = " (stub driver)"
"""The end of a request, or of its short name, that a stand-in for the driver answered."""

CAPABILITIES = ("compute", "utility", "graphics", "video")
"""The driver capabilities of the figure, from left to right; others follow them by name."""


def request(evidence: Evidence) -> str:
    """The request of an evidence of `collect.look`, with STUB where a stub driver answered it."""
    return evidence.data["command"] + (STUB if evidence.provenance["stub"] else "")


def option(command: str) -> str:
    """The option by which a request asks for the GPU, with STUB where the request ends in it.

    >>> option("docker run --rm --gpus all IMAGE")
    '--gpus'
    """
    words = [word.partition("=")[0] for word in command.split()]
    asked = next(word for word in words if word in ("--device", "--runtime", "--gpus"))
    return asked + (STUB if command.endswith(STUB) else "")


def totals(items: Mapping[str, Sequence[Item]], *, caption: str) -> Any:
    """How much was seen in each container, how much of it was injected, how much is unknown."""
    rows = [
        {
            "request": command,
            "seen": len(found),
            "injected": len(injected(found)),
            "unknown": len(unknown(found)),
        }
        for command, found in items.items()
    ]
    columns = {
        "request": "Request",
        "seen": ("Things seen", "d"),
        "injected": ("Injected", "d"),
        "unknown": ("Unknown", "d"),
    }
    return table(rows, columns, caption=caption)


def by_class(
    counts: Mapping[str, Mapping[str, int]], names: Mapping[str, str], *, caption: str
) -> Any:
    """The counts of `classify.counts`, a row for each class that any container has."""
    rows = [
        {"class": kind.title, "purpose": kind.purpose}
        | {command: counts[command].get(kind.id, 0) for command in names}
        for kind in CLASSES.values()
        if any(kind.id in found for found in counts.values())
    ]
    numbers = {command: (name, "d") for command, name in names.items()}
    return table(rows, {"class": "Class"} | numbers | {"purpose": "Purpose"}, caption=caption)


def lines(rows: Sequence[Mapping], *, caption: str) -> Any:
    """The rows of `walkthrough.lines`."""
    columns = {
        "name": "File or node",
        "purpose": "Purpose",
        "capability": "Capability",
        "class": "Class",
    }
    return table(rows, columns, caption=caption)


def landings(
    found: Mapping[str, Sequence[Mapping]], names: Mapping[str, str], *, caption: str
) -> Any:
    """The rows of `walkthrough.landing`, those of one request below those of the other."""
    rows = [{"ask": name} | row for command, name in names.items() for row in found[command]]
    columns = {
        "ask": "Request",
        "folder": "In the container",
        "source": "From",
        "number": ("Files or nodes", "d"),
    }
    return table(rows, columns, caption=caption)


def traces(found: Mapping[str, Sequence[Mapping]], *, caption: str) -> Any:
    """The rows of `walkthrough.lines` by their kind: how many, and the first. A kind without
    rows is left out."""
    rows = [
        {
            "kind": kind,
            "number": len(told),
            "first": told[0]["target"][:60],
            "purpose": told[0]["purpose"],
        }
        for kind, told in found.items()
        if told
    ]
    columns = {
        "kind": "Kind",
        "number": ("How many", "d"),
        "first": "The first",
        "purpose": "Purpose",
    }
    return table(rows, columns, caption=caption)


def decisions(found: Mapping[str, Decision], *, caption: str) -> Any:
    """The path decided for each request, and what that means."""
    rows = [
        {"request": command, "path": decision.path, "meaning": decision.meaning}
        for command, decision in found.items()
    ]
    columns = {"request": "Request", "path": "Path", "meaning": "What that means"}
    return table(rows, columns, caption=caption)


def reasons(found: Mapping[str, Decision], names: Mapping[str, str], *, caption: str) -> Any:
    """The reasons of each decision: what was seen, and where."""
    rows = [
        {"ask": name, "seen": reason.seen, "where": reason.where}
        for command, name in names.items()
        for reason in found[command].reasons
    ]
    columns = {"ask": "Request", "seen": "Seen", "where": "Where"}
    return table(rows, columns, caption=caption)


def differences(
    found: Mapping[tuple[str, str], Difference], names: Mapping[str, str], *, caption: str
) -> Any:
    """How many things only the first of two containers has, both have, only the second has."""
    rows = [
        {
            "pair": f"{names[one]} and {names[other]}",
            "first": len(difference.first),
            "both": len(difference.both),
            "second": len(difference.second),
        }
        for (one, other), difference in found.items()
    ]
    columns = {
        "pair": "Compared",
        "first": ("Only first", "d"),
        "both": ("Both", "d"),
        "second": ("Only second", "d"),
    }
    return table(rows, columns, caption=caption)


def capabilities(found: Mapping[str, Mapping[str, int]]) -> Any:
    """The counts of `classify.capabilities` as stacked bars, one for each short name.

    Returns a matplotlib Figure. Bars are drawn from the top.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7.5, 2.6))
    axes = fig.subplots()
    left = [0] * len(found)
    there = {capability for counts in found.values() for capability in counts}
    for capability in (*CAPABILITIES, *sorted(there.difference(CAPABILITIES))):
        sizes = [counts.get(capability, 0) for counts in found.values()]
        axes.barh(list(found), sizes, left=left, label=capability)
        left = [start + size for start, size in zip(left, sizes, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("driver libraries and programs mounted (count)")
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    return fig


def edits(explained: Iterable[Line], *, caption: str) -> Any:
    """The lines of `cdi.explain`."""
    columns = {"edit": "Edit", "what": "What", "purpose": "Purpose"}
    return table([vars(line) for line in explained], columns, caption=caption)


def findings(found: Iterable[Finding], *, caption: str) -> Any:
    """The findings of `cdi.review`."""
    columns = {"where": "Where", "what": "What", "why": "Why it matters"}
    return table([vars(finding) for finding in found], columns, caption=caption)
