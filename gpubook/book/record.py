"""Promotes live results to recordings: what this machine measured, for readers without one."""

from __future__ import annotations

import re
from pathlib import Path

from gpubook.book.results import load_result
from gpubook.errors import BookError, UsageError
from gpubook.evidence.records import checksum, new_record, write_recording


def record(
    root: Path, notebooks: list[str], machine_name: str, *, out: Path, only_live: bool = False
) -> tuple[list[Path], list[str]]:
    """Write the results of ``notebooks`` to ``recordings/<machine_name>/``.

    Returns the files written and the evidences left out. Refuses, with nothing written, when
    an evidence was replayed, unless ``only_live`` leaves those out; refuses always when
    a stub driver answered.
    """
    check_name(machine_name)
    live, replayed = [], []
    for name in notebooks:
        for item in load_result(out, name)["evidences"]:
            entry = item["record"]
            label = f"{name}/{entry['name']}"
            if entry["provenance"]["stub"]:
                raise BookError(f"{label} was measured through a stub driver: not recorded")
            if item["mode"] == "recorded":
                replayed.append(f"{label} (from {entry['provenance']['machine']['name']})")
            else:
                live.append(entry)
    if replayed and not only_live:
        raise BookError(
            f"nothing recorded, since these are replays themselves: {', '.join(replayed)}; "
            "execute with --require, or use --only-live to leave them out"
        )
    return [write_recording(root, _renamed(entry, machine_name)) for entry in live], replayed


BENCHES = {
    "matmul": ("08-matmul", "bench"),
    "train": ("12-what-makes-it-fast", "bench-train"),
    "predict": ("13-predict-and-clean-up", "bench-predict"),
    "scale": ("12-what-makes-it-fast", "bench-scale"),
    "share": ("12-what-makes-it-fast", "bench-share"),
    "rehearsal": ("01-first-container", "bench-rehearsal"),  # tests/docker/rehearsal.py
}
"""Of each benchmark that can be kept: the notebook it belongs to, and its name there."""


def record_bench(root: Path, figures: dict, machine_name: str) -> Path:
    """Keep what a benchmark returned as ``recordings/<machine_name>/<notebook>/<name>.json``."""
    check_name(machine_name)
    notebook, name = BENCHES[figures["bench"]]
    entry = new_record(
        notebook,
        name,
        {key: value for key, value in figures.items() if key != "provenance"},
        needs=("gpu",) if figures["device"] == "cuda" else (),
        provenance=figures["provenance"],
    )
    return write_recording(root, _renamed(entry, machine_name))


def check_name(machine_name: str) -> None:
    """Raise UsageError unless ``machine_name`` can name a folder of recordings."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine_name) or len(machine_name) > 60:
        raise UsageError(
            f"{machine_name[:60]!r} is no name for a machine: use small letters, digits and "
            "hyphens, 60 at most"
        )


def _renamed(entry: dict, machine_name: str) -> dict:
    provenance = entry["provenance"]
    described = provenance["machine"] | {"name": machine_name}
    entry = entry | {"provenance": provenance | {"machine": described}}
    return entry | {"sha256": checksum(entry)}
