"""The first and the last output of a page: what this machine has, and what that gave."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from gpubook.evidence.display import Shown, fill, machine_line, table
from gpubook.evidence.evidence import Evidence
from gpubook.machine import Machine

_LABELS = {
    "docker": "Docker Engine",
    "image": "The book's image",
    "host": "Engine's processes",
    "root": "Rights of root",
    "gpu": "GPU",
    "toolkit": "NVIDIA Container Toolkit",
    "slurm": "Slurm",
}
_MAIN = ("docker", "gpu", "toolkit")
_GIB = 2**30


def _folded(words: str, rows: Shown) -> Shown:
    """A table that folds out of a line."""
    return Shown(fill("folded", words=words, content=rows.markup), f"{words}\n{rows!r}")


def line(here: Machine, require: frozenset[str]) -> Shown:
    """This machine in one line, with what is missing said once; a table folds out of it."""
    missing = [_LABELS[n] for n in _MAIN if not here.capabilities[n].available]
    words = f"This machine: {here.cpu}, {here.cores} cores"
    if missing:
        words += f"; no {', no '.join(missing)}: what needs them is shown from recordings"
    rows = [
        {"what": "Memory", "here": f"{here.memory_bytes / _GIB:.1f} GiB"},
        {"what": "System", "here": f"{here.os}, kernel {here.kernel}"},
        {"what": "Free disk", "here": f"{shutil.disk_usage('.').free / _GIB:.1f} GiB"},
    ]
    for name, capability in here.capabilities.items():
        required = " (required)" if name in require else ""
        none = "" if capability.available else "none: "
        rows.append({"what": _LABELS[name] + required, "here": none + capability.why})
    return _folded(words, table(rows, {"what": "This machine", "here": "has"}))


def closing(evidences: Iterable[Evidence]) -> Shown:
    """Where a page's results come from, a row each, folded."""
    rows = [
        {
            "name": e.name,
            "mode": e.mode,
            "machine": machine_line(e.provenance),
            "date": e.provenance["date"][:10],
        }
        for e in evidences
    ]
    columns = {"name": "Evidence", "mode": "Live?", "machine": "Machine", "date": "Date"}
    return _folded("Where this page's results come from", table(rows, columns))
