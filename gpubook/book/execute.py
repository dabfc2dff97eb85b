"""Executes notebooks: a process each, in parallel, and only where something changed.

A notebook runs in a folder of its own, ``_build/work/…``. Only when every cell ran and the
evidence is whole are its three outputs moved to their places: ``_build/executed/NAME.ipynb``,
``_build/results/NAME.json`` and ``_build/artifacts/NAME/``. A failed notebook is kept, as far
as it came, as ``_build/failed/NAME.ipynb``; a killed run leaves nothing in these places.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gpubook import files, machine
from gpubook.book import cache
from gpubook.book.notebooks import Notebook, with_dependencies
from gpubook.errors import BookError
from gpubook.evidence.records import (
    EvidenceError,
    checksum,
    follows,
    read_json,
    validate,
    write_json,
)

CELL_SECONDS = 1200
"""The longest that one cell may take, unless told otherwise."""
TOTAL_SECONDS = 2400
"""The longest that one notebook may take, unless told otherwise."""
_GRACE_SECONDS = 10
_WAIT_SECONDS = 15  # of waiting for another notebook's measurement, before that is said
_LOST_AFTER_SECONDS = 24 * 3600


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


@dataclass
class _Running:
    notebook: Notebook
    inputs: dict[str, Any]
    work: Path
    process: subprocess.Popen
    begun: float = field(default_factory=time.monotonic)
    told_to_wait: bool = False
    stopped_for: str = ""
    killed_at: float = field(default=float("inf"))


def run(
    root: Path,
    notebooks: list[Notebook],
    *,
    parameters: dict[str, dict[str, Any]],
    require: frozenset[str] = frozenset(),
    jobs: int | None = None,
    force: bool = False,
    cell_seconds: float = CELL_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Outcome]:
    """Execute ``notebooks`` and what they come after; return an outcome for each.

    ``parameters`` maps a notebook's name to values checked by ``notebooks.assign``. ``require``
    names the capabilities that must be live: raises MissingCapability before anything runs.
    ``jobs`` is the number of notebooks at once (the number of cores); those that measure run
    alone whatever it is. ``progress`` gets a line for each event. ``out`` is ``root/_build``.
    """
    machine.check(require)
    todo = with_dependencies(root, notebooks)
    run_ = _Run(root, out or root / "_build", require, parameters, cell_seconds, total_seconds)
    run_.progress, run_.force = progress, force
    with _interruptible():
        return run_.all(todo, jobs or machine.probe().cores)


class _Run:
    progress: Callable[[str], None]
    force: bool

    def __init__(
        self,
        root: Path,
        out: Path,
        require: frozenset[str],
        parameters: dict[str, dict[str, Any]],
        cell_seconds: float,
        total_seconds: float,
    ) -> None:
        self.root, self.out = root.resolve(), out.resolve()
        self.require, self.parameters = require, parameters
        self.cell_seconds, self.total_seconds = cell_seconds, total_seconds
        self.done: dict[str, Outcome] = {}
        self.running: list[_Running] = []
        (self.out / "work").mkdir(parents=True, exist_ok=True)
        _sweep(self.out / "work")

    def all(self, todo: list[Notebook], jobs: int) -> list[Outcome]:
        waiting = list(todo)
        try:
            while waiting or self.running:
                for notebook in list(waiting):
                    if len(self.running) >= jobs:
                        break
                    if self._start_if_ready(notebook, len(todo)):
                        waiting.remove(notebook)
                self._poll(len(todo))
                if self.running:
                    time.sleep(0.05)
        finally:
            for running in self.running:
                _kill(running.process)
                shutil.rmtree(running.work, ignore_errors=True)
        return [self.done[notebook.name] for notebook in todo]

    def _start_if_ready(self, notebook: Notebook, total: int) -> bool:
        """Start, skip or fail a notebook whose predecessors are done; False while they aren't."""
        if any(name not in self.done for name in notebook.after):
            return False
        bad = [name for name in notebook.after if not self.done[name].good]
        if bad:
            self._finish(Outcome(notebook.name, "not run", reason=f"{bad[0]} failed"), total)
            return True
        if (outcome := None if self.force else self._unchanged(notebook)) is not None:
            self._finish(outcome, total)
            return True
        self.progress(f"        {notebook.name}  starts")
        self._start(notebook)
        return True

    def _now(self, notebook: Notebook) -> dict[str, Any]:
        after = {name: self._result(name)["run_id"] for name in notebook.after}
        return {
            "parameters": self._given(notebook),
            "require": self.require,
            "after": after,
        }

    def _given(self, notebook: Notebook) -> dict[str, Any]:
        given = dict(self.parameters.get(notebook.name, {}))
        if self.require and "REQUIRE" in notebook.parameters:
            given.setdefault("REQUIRE", ",".join(sorted(self.require)))
        return given

    def _result(self, name: str) -> dict[str, Any]:
        return load_result(self.out, name)

    def _unchanged(self, notebook: Notebook) -> Outcome | None:
        try:
            result = self._result(notebook.name)
        except EvidenceError:
            return None
        executed = self.out / "executed" / f"{notebook.name}.ipynb"
        if cache.file_digest(executed) != result["executed_sha256"]:
            return None
        if cache.changed(self.root, notebook, result, **self._now(notebook)):
            return None
        return _outcome(result, "unchanged", 0.0)

    def _start(self, notebook: Notebook) -> None:
        work = Path(tempfile.mkdtemp(dir=self.out / "work", prefix=f"{notebook.name}."))
        (work / "owner").write_text(str(os.getpid()), encoding="utf-8")
        inputs = self._now(notebook)
        job = {
            "notebook": str(notebook.path),
            "parameters": inputs["parameters"],
            "work": str(work),
            "owner": os.getpid(),
            "lock": str(self.out / ".measuring.lock"),
            "exclusive": notebook.exclusive,
            "cell_timeout": self.cell_seconds,
        }
        write_json(work / "job.json", job)
        environment = os.environ | {
            "GPUBOOK_ROOT": str(self.root),
            "GPUBOOK_WORK": str(work),
            "GPUBOOK_OUT": str(self.out),
            "REQUIRE": ",".join(sorted(self.require)),
            # Progress bars of libraries miss a widget here; a page needs no word about it.
            "PYTHONWARNINGS": "ignore:IProgress not found",
        }
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gpubook.book.worker", str(work / "job.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self.running.append(_Running(notebook, inputs, work, process))

    def _poll(self, total: int) -> None:
        for running in list(self.running):
            if running.process.poll() is None:
                self._limit(running)
                continue
            self.running.remove(running)
            try:
                outcome = self._collect(running)
            finally:
                shutil.rmtree(running.work, ignore_errors=True)
            self._finish(outcome, total)

    def _limit(self, running: _Running) -> None:
        """End a notebook that is over its total time: kindly, then not."""
        started = running.work / "started"
        if not started.is_file():  # it waits for its turn to measure
            if not running.told_to_wait and time.monotonic() - running.begun > _WAIT_SECONDS:
                running.told_to_wait = True
                self.progress(f"        {running.notebook.name}  waits, another one measures")
            return
        now = time.time()
        if not running.stopped_for and now - started.stat().st_mtime > self.total_seconds:
            running.stopped_for = f"over its {self.total_seconds:g} s"
            running.killed_at = now + _GRACE_SECONDS
            running.process.terminate()
        elif now > running.killed_at:
            _kill(running.process)

    def _finish(self, outcome: Outcome, total: int) -> None:
        self.done[outcome.notebook] = outcome
        self.progress(f"[{len(self.done)}/{total}]  {outcome.line()}")

    def _collect(self, running: _Running) -> Outcome:
        name, work = running.notebook.name, running.work
        executed = work / "executed.ipynb"
        try:
            if running.stopped_for:
                raise _Failed(f"stopped: {running.stopped_for}")
            result = self._result_of(running)
        except (_Failed, EvidenceError) as failed:
            reason = str(failed)
            if executed.is_file():
                kept = self.out / "failed" / executed.with_stem(name).name
                kept.parent.mkdir(exist_ok=True)
                os.replace(executed, kept)  # noqa: PTH105
                where = os.path.relpath(kept)
                reason += f" (as far as it came: {where})"
            return Outcome(name, "failed", reason=reason + _left(work))
        self._promote(running.notebook, work, result)
        seconds = result["finished"] - result["started"]
        return _outcome(result, "executed", seconds, reason=_left(work))

    def _result_of(self, running: _Running) -> dict[str, Any]:
        """The result a finished worker left, checked. Raises _Failed with the reason in a line."""
        work = running.work
        if not (work / "outcome.json").is_file():
            last = _last_line(work / "log") or "it said nothing"
            raise _Failed(f"its process ended with {running.process.returncode}: {last}")
        outcome = read_json(work / "outcome.json")
        error = outcome["error"]
        content = files.read_bytes(work / "executed.ipynb")
        cells = [c for c in json.loads(content)["cells"] if c["cell_type"] == "code"]
        if error is not None:
            raise _Failed(f"{_failing_cell(cells)}{error['kind']}: {error['reason']}")
        skipped = [c["id"] for c in cells if c["source"] and c["execution_count"] is None]
        state = read_json(work / "evidence.json") if (work / "evidence.json").is_file() else {}
        if skipped or not state.get("finished"):
            where = f"cell {skipped[0]}" if skipped else "page.finish()"
            raise _Failed(f"it ended before {where}: does a cell call exit?")
        evidences = state["evidences"]
        for item in evidences:
            record = item["record"] | {"parameters": running.inputs["parameters"]}
            item["record"] = _resealed(record) if item["mode"] == "live" else item["record"]
            validate(item["record"], f"{running.notebook.name}/{record['name']}")
        times = [_times(c) for c in cells if c["source"]]
        result = {
            "schema": "gpubook.results/1",
            "notebook": running.notebook.name,
            "run_id": uuid.uuid4().hex,
            "started": float((work / "started").read_text(encoding="utf-8")),
            "finished": time.time(),
            "cells": times,
            "parameters": running.inputs["parameters"],
            "require": sorted(self.require),
            "evidences": evidences,
            "solutions": state.get("solutions", []),
            "inputs": cache.inputs(
                self.root,
                running.notebook,
                modules=cache.module_digests(state["modules"]),
                **running.inputs,
            ),
            "executed_sha256": cache.digest(content),
            "used": outcome["used"] | {"files_bytes": _bytes_below(work / "artifacts")},
        }
        follows(result, "results", "its results do not follow the schema")
        return result

    def _promote(self, notebook: Notebook, work: Path, result: dict[str, Any]) -> None:
        """Put a whole result in its place; two runs at once take turns."""
        places = [
            (work / "executed.ipynb", self.out / "executed" / f"{notebook.name}.ipynb"),
            (work / "artifacts", self.out / "artifacts" / notebook.name),
        ]
        with (self.out / ".promote.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            target = self.out / "results" / f"{notebook.name}.json"
            target.unlink(missing_ok=True)  # no result while its parts change places
            for source, place in places:
                if not source.exists():
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.is_dir():
                    os.replace(place, work / "former")  # noqa: PTH105
                os.replace(source, place)  # noqa: PTH105
            (self.out / "failed" / f"{notebook.name}.ipynb").unlink(missing_ok=True)
            write_json(target, result)


class _Failed(BookError):
    """Why a notebook has no result."""


def load_result(out: Path, name: str) -> dict[str, Any]:
    """The result of a notebook, checked. Raises EvidenceError when there is none to trust."""
    path = out / "results" / f"{name}.json"
    result = read_json(path)
    follows(result, "results", str(path))
    for item in result["evidences"]:
        validate(item["record"], f"{path}: {item['record'].get('name')}")
    return result


def _outcome(result: dict[str, Any], status: str, seconds: float, reason: str = "") -> Outcome:
    names = {
        mode: tuple(e["record"]["name"] for e in result["evidences"] if e["mode"] == mode)
        for mode in ("live", "recorded")
    }
    return Outcome(result["notebook"], status, seconds, reason, names["live"], names["recorded"])


def _resealed(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"sha256": checksum(record)}


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


def _kill(process: subprocess.Popen) -> None:
    """End a worker at once, which ends what it started."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode("utf-8", "replace").strip().split("\n")[-1]


def _left(work: Path) -> str:
    """What the notebook had left running, for people."""
    left = work / "left"
    return f"; ended what it left running: {left.read_text('utf-8')}" if left.is_file() else ""


def _sweep(folder: Path) -> None:
    """Remove work folders whose run was killed."""
    for work in folder.iterdir():
        with contextlib.suppress(OSError, ValueError):
            owner = int((work / "owner").read_text(encoding="utf-8"))
            old = time.time() - work.stat().st_mtime > _LOST_AFTER_SECONDS
            if old or not _alive(owner):
                shutil.rmtree(work, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt, so that a stopped run ends what it started."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        former = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: the caller's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
