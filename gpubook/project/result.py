"""A benchmark's result: follows the schema, agrees with its own samples, comes from a container."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.project.items import Finding, met, missing, text_of

CONTAINER_ROOTS = ("overlay", "fuse-overlayfs", "aufs", "btrfs", "zfs", "9p")
"""Types of / in a container; a machine's own is ext4, xfs and the like."""


def problem(value: Any) -> str:
    """What is wrong with a result, in a line; empty when nothing is."""
    if wrong := files.broken_rule(value, "gpubook.project", "result.schema.json"):
        return wrong
    samples = sorted(value["samples"])
    if not all(math.isfinite(x) for x in (*samples, value["median"], value["spread"])):
        return "a figure is not finite"
    if value["n"] != len(samples):
        return f"n is {value['n']}, but there are {len(samples)} samples"
    median = statistics.median(samples)
    if not math.isclose(median, value["median"], rel_tol=1e-6):
        return f"median is {value['median']:g}, but that of the samples is {median:g}"
    low, *_, high = statistics.quantiles(samples, n=5, method="inclusive")
    spread = (high - low) / median
    if not math.isclose(spread, value["spread"], rel_tol=0.05, abs_tol=1e-6):
        return (
            f"spread is {value['spread']:g}, but the samples' (20th to 80th, / median) {spread:g}"
        )
    return ""


def container_problem(value: Any) -> str:
    """Why a valid result is not from an ordinary user's run in a container; empty when it is."""
    where = value.get("container") if isinstance(value, dict) else None
    if not isinstance(where, dict) or not {"root_filesystem", "uid"} <= set(where):
        return "it says nothing about a container (root_filesystem, uid)"
    if where["root_filesystem"] not in CONTAINER_ROOTS:
        return f"its root file system is {where['root_filesystem']}: that is a machine's own"
    return "it ran as root (uid 0)" if where["uid"] == 0 else ""


def check(folder: Path) -> list[Finding]:
    """The findings on ``result.json``: valid, and from a container."""
    text, reason = text_of(folder, "result.json")
    try:
        value = None if reason else files.json_of(text, "result.json")
    except files.Malformed as error:
        reason = str(error)
    if reason:
        return [missing(name, reason) for name in ("result", "container")]
    wrong = problem(value)
    line = f"result.json: {wrong}"
    first = missing("result", line) if wrong else met("result", line_of(value))
    outside = container_problem(value)
    if outside:
        return [first, missing("container", f"result.json: {outside}")]
    place = value["container"]
    return [first, met("container", f"root on {place['root_filesystem']}, uid {place['uid']}")]


def line_of(value: dict) -> str:
    """A valid result in a line."""
    return (
        f"{value['what']}: {value['median']:.4g} {value['unit']}, spread {value['spread']:.0%}, "
        f"n = {value['n']}, on {value['device']}"
    )
