"""Notebook 01's tables and its figure: which columns, in which words and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpubook.engine.processes import short_ids
from gpubook.evidence import table

_SHORTEST = 0.002
"""What was seen once only is drawn this wide (s), so that it can be seen."""


def findings(found: Sequence[Mapping], *, caption: str) -> Any:
    """The findings of `gpubook doctor` on a machine."""
    columns = {"status": "Status", "what": "Finding", "why": "Why it matters"}
    return table(found, columns, caption=caption)


def checks(installed: Sequence[Mapping], *, step: str) -> Any:
    """The checks of one step of the installation, from `install.installation`."""
    words = {True: "yes", False: "no", None: "does not apply"}
    rows = [row | {"ok": words[row["ok"]]} for row in installed if row["step"] == step]
    columns = {"check": "Check", "found": "Found", "ok": "As after these steps"}
    return table(rows, columns, caption=step)


def info(told: Mapping[str, Any], *, caption: str) -> Any:
    """The lines of `review.info` that matter in this book."""
    facts = {
        "Engine": told["server"],
        "Storage driver": f"{told['storage_driver']} on {told['backing_filesystem']}",
        "Image store": told["image_store"],
        "Everything is kept in": told["root_dir"],
        "cgroups": f"version {told['cgroup_version']}, driver {told['cgroup_driver']}",
        "Security": ", ".join(told["security"]),
        "Rootless": told["rootless"],
        "Memory": f"{told['memory_bytes'] / 2**30:.1f} GiB",
    }
    rows = [{"what": what, "value": value} for what, value in facts.items()]
    return table(rows, {"what": "What", "value": "Value"}, caption=caption)


def life(seen: Sequence[Mapping]) -> Any:
    """The processes of `processes.watch_life` as bars over time, those of runc in orange.

    Returns a matplotlib Figure. Rows are drawn from the top.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8, 3.2))
    axes = fig.subplots()
    for row in seen:
        width = max(row["last_s"] - row["first_s"], _SHORTEST)
        colour = "C1" if row["label"].startswith("runc") else "C0"
        name = f"{row['label']} ({row['pid']})"
        axes.barh(name, width * 1e3, left=row["first_s"] * 1e3, color=colour)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.set_xlabel("time since the container was asked to start (ms)")
    return fig


def calls(runc: Sequence[Mapping], *, caption: str) -> Any:
    """The calls of runc that `processes.watch_life` saw, as far as they name a container."""
    rows = [
        {
            "call": row["subcommand"],
            "ms": row["seconds"] * 1e3,
            "state": short_ids(row["state_dir"]),
        }
        for row in runc
        if row["container_id"]
    ]
    columns = {"call": "runc …", "ms": ("Seen for (ms)", ".1f"), "state": "State folder"}
    return table(rows, columns, caption=caption)


def specification(spec: Mapping[str, Any] | None, *, caption: str) -> Any:
    """An OCI specification as `container.parse_oci_spec` sums it up; none is an empty table."""
    rows = [{"key": key, "value": _words(value)} for key, value in (spec or {}).items()]
    return table(rows, {"key": "Key", "value": "Value"}, caption=caption)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key}: {number}" for key, number in value.items()]
    text = ", ".join(value) or "none" if isinstance(value, list) else str(value)
    return short_ids(text)


def limits(asked: Mapping[str, float], found: Mapping[str, float | None], *, caption: str) -> Any:
    """The limits that were asked for, each beside the one that the container has.

    Both map ``memory_bytes``, ``cpus`` and ``pids`` to numbers; memory is shown in MiB.
    """
    rows = [
        {
            "limit": _LIMITS[key][0],
            "asked": _scaled(asked[key], _LIMITS[key][1]),
            "set": _scaled(found[key], _LIMITS[key][1]),
        }
        for key in asked
    ]
    columns = {
        "limit": "Limit",
        "asked": ("Asked for", "g"),
        "set": ("Set in the container", "g"),
    }
    return table(rows, columns, caption=caption)


_LIMITS = {"memory_bytes": ("Memory (MiB)", 2**20), "cpus": ("Cores", 1), "pids": ("Processes", 1)}


def _scaled(value: float | None, unit: int) -> float | None:
    return None if value is None else value / unit
