"""What an executed notebook leaves: its result, whole and checked, or the reason why there is none.

A result is ``_build/results/NAME.json``; the page that it belongs to is
``_build/executed/NAME.ipynb``, and what the notebook made is in ``_build/artifacts/NAME/``.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.book import cache
from gpubook.book.notebooks import Notebook
from gpubook.errors import BookError
from gpubook.evidence.display import machine_line
from gpubook.evidence.ledger import session
from gpubook.evidence.records import EvidenceError, follows, read_json, validate


class Failed(BookError):
    """Why a notebook has no result."""


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook. ``seconds`` is the run's wall time, 0 when not executed."""

    notebook: str
    status: str  # "executed", "unchanged", "failed" or "not run"
    seconds: float = 0.0
    reason: str = ""
    live: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there is a result to trust."""
        return self.status in {"executed", "unchanged"}

    def line(self) -> str:
        """One line for people."""
        if not self.good:
            return f"{self.notebook}  {self.status.upper()}: {self.reason}"
        took = f"executed in {self.seconds:.1f} s" if self.status == "executed" else "unchanged"
        count = f"({len(self.live)} live, {len(self.recorded)} recorded)"
        return f"{self.notebook}  {took} {count}{self.reason}"


def outcome(result: dict[str, Any], status: str, reason: str = "") -> Outcome:
    """The outcome of a notebook that has a result."""
    seconds = result["finished"] - result["started"] if status == "executed" else 0.0
    live, recorded = (
        tuple(e["record"]["name"] for e in result["evidences"] if e["mode"] == mode)
        for mode in ("live", "recorded")
    )
    return Outcome(result["notebook"], status, seconds, reason, live, recorded)


def load_result(out: Path, name: str) -> dict[str, Any]:
    """The result of a notebook, checked. Raises EvidenceError when there is none to trust."""
    path = out / "results" / f"{name}.json"
    result = read_json(path)
    follows(result, "results", str(path))
    for item in result["evidences"]:
        validate(item["record"], f"{path}: {item['record'].get('name')}")
    return result


def load_session(out: Path, name: str) -> dict[str, Any]:
    """What an open notebook has measured and answered, or its result where that is newer.

    Raises EvidenceError when there is neither, or it can't be trusted.
    """
    path, result = session(out.parent, name), out / "results" / f"{name}.json"
    times = [file.stat().st_mtime if file.is_file() else 0.0 for file in (path, result)]
    if not any(times):
        raise EvidenceError("no answer yet: run the page's cells, its solutions too")
    if times[1] > times[0]:
        return load_result(out, name)
    state = read_json(path)
    follows(state, "session", str(path))
    for item in state["evidences"]:
        validate(item["record"], f"{path}: {item['record'].get('name')}")
    return state


def load_all(out: Path) -> list[dict[str, Any]]:
    """The results of all executed notebooks, checked, in their order.

    Raises BookError when there are none, or one is not of the executed notebook beside it.
    """
    executed = sorted((out / "executed").glob("*.ipynb"))
    if not executed:
        raise BookError(f"no executed notebooks in {out / 'executed'}: run `gpubook run`")
    results = []
    for path in executed:
        results.append(load_result(out, path.stem))
        if results[-1]["executed_sha256"] != cache.file_digest(path):
            raise BookError(f"{path} is not the notebook that gave its results: run `gpubook run`")
    return results


def machine_of(result: dict[str, Any]) -> str:
    """The machine that executed a notebook, in words; empty when nothing was measured on it."""
    live = [e["record"]["provenance"] for e in result["evidences"] if e["mode"] == "live"]
    if not live:
        return ""
    here = live[-1] | {"software": {}}
    return machine_line(here) + ("" if here["machine"]["gpus"] else ", no GPU")


def collect(
    root: Path, work: Path, notebook: Notebook, inputs: dict[str, Any], exit_code: int
) -> dict[str, Any]:
    """The result of what a worker left in ``work``. Raises Failed with the reason in a line.

    ``inputs`` are the parameters, what was required, and the runs that this one came after.
    """
    if not (work / "outcome.json").is_file():
        last = _last_line(work / "log") or "it said nothing"
        raise Failed(f"its process ended with {exit_code}: {last}")
    ended = read_json(work / "outcome.json")
    content = files.read_bytes(work / "executed.ipynb")
    cells = [c for c in json.loads(content)["cells"] if c["cell_type"] == "code" and c["source"]]
    if error := ended["error"]:
        raise Failed(f"{_failing_cell(cells)}{error['kind']}: {error['reason']}")
    state = _state(work, cells)
    result = {
        "schema": "gpubook.results/1",
        "notebook": notebook.name,
        "run_id": uuid.uuid4().hex,
        "started": float((work / "started").read_text(encoding="utf-8")),
        "finished": time.time(),
        "cells": [_times(cell) for cell in cells],
        "parameters": inputs["parameters"],
        "require": sorted(inputs["require"]),
        "evidences": state["evidences"],
        "solutions": state["solutions"],
        "inputs": cache.inputs(
            root, notebook, modules=cache.module_digests(state["modules"]), **inputs
        ),
        "executed_sha256": cache.digest(content),
        "used": ended["used"] | {"files_bytes": _bytes_below(work / "artifacts")},
    }
    follows(result, "results", "its results do not follow the schema")
    return result


def _state(work: Path, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page kept, with every evidence checked. Raises Failed unless it came to its end."""
    skipped = [cell["id"] for cell in cells if cell["execution_count"] is None]
    state = read_json(work / "evidence.json") if (work / "evidence.json").is_file() else {}
    if skipped or not state.get("finished"):
        where = f"cell {skipped[0]}" if skipped else "page.finish()"
        raise Failed(f"it ended before {where}: does a cell call exit?")
    for item in state["evidences"]:
        validate(item["record"], f"{state['notebook']}/{item['record']['name']}")
    return state


def promote(out: Path, work: Path, result: dict[str, Any]) -> None:
    """Put a whole result in its place; two runs at once take turns."""
    name = result["notebook"]
    places = [
        (work / "executed.ipynb", out / "executed" / f"{name}.ipynb"),
        (work / "artifacts", out / "artifacts" / name),
    ]
    with (out / ".promote.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = out / "results" / f"{name}.json"
        target.unlink(missing_ok=True)  # no result while its parts change places
        for source, place in places:
            if not source.exists():
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                place.rename(work / "former")
            source.replace(place)
        (out / "failed" / f"{name}.ipynb").unlink(missing_ok=True)
        files.write_json(target, result)


def keep_failed(out: Path, work: Path, name: str) -> str:
    """Keep a failed page as far as it came; words that say where, none where there is none."""
    executed = work / "executed.ipynb"
    if not executed.is_file():
        return ""
    kept = out / "failed" / f"{name}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    executed.replace(kept)
    return f" (as far as it came: {os.path.relpath(kept)})"


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _times(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell's start and end, from what papermill notes in its metadata."""
    noted = cell["metadata"]["papermill"]
    start, end = (
        datetime.fromisoformat(noted[key]).timestamp() for key in ("start_time", "end_time")
    )
    return {"id": cell["id"], "start": start, "end": end}


def _failing_cell(cells: list[dict[str, Any]]) -> str:
    """The last cell that was started: also one that was stopped, and so shows no error."""
    begun = [n for n, c in enumerate(cells) if c["metadata"]["papermill"]["start_time"]]
    return f"cell {begun[-1] + 1} ({cells[begun[-1]]['id']}): " if begun else ""


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode("utf-8", "replace").strip().split("\n")[-1]
