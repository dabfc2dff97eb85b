"""Promotes live results to recordings: what this machine measured, for readers without one."""

from __future__ import annotations

import re
from pathlib import Path

from gpubook.book.execute import load_result
from gpubook.errors import BookError, UsageError
from gpubook.evidence.records import checksum, write_recording


def record(
    root: Path, notebooks: list[str], machine_name: str, *, out: Path, only_live: bool = False
) -> tuple[list[Path], list[str]]:
    """Write the results of ``notebooks`` to ``recordings/<machine_name>/``.

    Returns the files written and the evidences left out. Refuses, with nothing written, when
    an evidence was replayed, unless ``only_live`` leaves those out; refuses always when
    a stub driver answered.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine_name):
        raise UsageError(
            f"{machine_name!r} is no name for a machine: use small letters, digits and hyphens"
        )
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


def _renamed(entry: dict, machine_name: str) -> dict:
    provenance = entry["provenance"]
    described = provenance["machine"] | {"name": machine_name}
    entry = entry | {"provenance": provenance | {"machine": described}}
    return entry | {"sha256": checksum(entry)}
