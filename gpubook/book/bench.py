"""How long the book takes: cold, with nothing changed, after one notebook's text changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gpubook import machine
from gpubook.errors import BookError
from gpubook.evidence.page import find_root

VERSION = 1
"""Rises when the method changes."""

_SOURCES = ("_config.yml", "_toc.yml", "book", "notebooks", "recordings", "docker", "tools")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "CONTRIBUTING.md")


def bench(*, progress: Callable[[str], None] = lambda line: None) -> dict:
    """Build the book three times in a copy of its sources; all figures in seconds.

    ``cold_s``: nothing was executed or rendered before. ``unchanged_s``: the same again.
    ``edited_s``: after a sentence was added to page 01. ``overhead_s``: the cold build less
    the time in which some notebook's cell was running (union of the cells' intervals).
    """
    root = find_root()
    with tempfile.TemporaryDirectory(prefix="gpubook-bench-") as folder:
        copy = Path(folder) / "book"
        copy.mkdir()
        for name in _SOURCES:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name)
            elif (root / name).is_file():
                shutil.copy(root / name, copy / name)
        for name in _FILES:
            if (root / name).is_file():
                shutil.copy(root / name, copy / name)
        progress("cold build")
        cold, _ = _build(copy, progress)
        own = _cells_seconds(copy / "_build" / "results")
        progress("again, nothing changed")
        unchanged, again = _build(copy, progress)
        progress("again, one notebook's text changed")
        name = _edit(copy / "notebooks")
        edited, after_edit = _build(copy, progress)
        return {
            "bench": "book",
            "version": VERSION,
            "machine": machine.probe().describe(),
            "software": machine.probe().software,
            "cold_s": round(cold, 1),
            "cells_s": round(own, 1),
            "overhead_s": round(cold - own, 1),
            "unchanged_s": round(unchanged, 1),
            "unchanged_executed": again,
            "edited_notebook": name,
            "edited_s": round(edited, 1),
            "edited_executed": after_edit,
        }


def _build(root: Path, progress: Callable[[str], None]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gpubook.cli", "book"], cwd=root, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    for line in done.stdout.splitlines():
        progress(f"  {line}")
    if done.returncode != 0:
        raise BookError(f"the book does not build: {done.stderr.strip()}")
    executed = [line.split()[1] for line in done.stdout.splitlines() if "executed in" in line]
    return seconds, executed


def _edit(folder: Path) -> str:
    path = min(folder.glob("[0-9][0-9]-*.ipynb"))
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][0]["source"].append("\n\nOne more sentence.")
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path.stem


def _cells_seconds(results: Path) -> float:
    """The time in which at least one code cell was running."""
    spans = sorted(
        (cell["start"], cell["end"])
        for path in results.glob("*.json")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    )
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return total
