"""Executes notebooks: a process each, side by side, and only where something changed.

A notebook runs in a folder of its own, ``_build/work/…``. Only when every cell ran and the
evidence is whole are its outputs moved to their places (see `results`). A failed notebook is
kept, as far as it came, as ``_build/failed/NAME.ipynb``; a killed run leaves nothing there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from gpubook import files, machine
from gpubook.book import cache, results
from gpubook.book.notebooks import Notebook, with_dependencies
from gpubook.book.results import Failed, Outcome, load_result
from gpubook.evidence.records import EvidenceError

CELL_SECONDS = 1200
"""The longest that one cell may take, unless told otherwise."""
TOTAL_SECONDS = 2400
"""The longest that one notebook may take, unless told otherwise."""
_GRACE_SECONDS = 10
_WAIT_SECONDS = 15  # of waiting for another notebook's measurement, before that is said
_LOST_AFTER_SECONDS = 24 * 3600


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
    progress: Callable[[str], None] = lambda line: None,
) -> list[Outcome]:
    """Execute ``notebooks`` and what they come after; return an outcome for each.

    ``parameters`` maps a notebook's name to values checked by ``notebooks.assign``. ``require``
    names the capabilities that must be live: raises MissingCapability before anything runs.
    ``jobs`` is the number of notebooks at once (the number of cores); those that measure run
    alone whatever it is. ``progress`` gets a line for each event.
    """
    machine.check(require)
    todo = with_dependencies(root, notebooks)
    root = root.resolve()
    limits = {"cell_seconds": cell_seconds, "total_seconds": total_seconds}
    run_ = _Run(root, root / "_build", require, parameters, limits, force, progress)
    (run_.out / "work").mkdir(parents=True, exist_ok=True)
    _sweep(run_.out / "work")
    with _interruptible():
        return run_.all(todo, jobs or machine.probe().cores)


@dataclass
class _Run:
    root: Path
    out: Path
    require: frozenset[str]
    parameters: dict[str, dict[str, Any]]
    limits: dict[str, float]
    force: bool
    progress: Callable[[str], None]
    done: dict[str, Outcome] = field(default_factory=dict)
    processes: set[subprocess.Popen] = field(default_factory=set)
    stopping: bool = False

    def all(self, todo: list[Notebook], jobs: int) -> list[Outcome]:
        """Every notebook as soon as those before it are done, ``jobs`` at once."""
        named = {notebook.name: notebook for notebook in todo}
        order = TopologicalSorter({notebook.name: notebook.after for notebook in todo})
        order.prepare()
        running: set[Future[Outcome]] = set()
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while order.is_active():
                    running |= {pool.submit(self.one, named[name]) for name in order.get_ready()}
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for outcome in sorted((f.result() for f in ended), key=lambda o: o.notebook):
                        self.done[outcome.notebook] = outcome
                        self.progress(f"[{len(self.done)}/{len(todo)}]  {outcome.line()}")
                        order.done(outcome.notebook)
            except BaseException:
                self._stop(pool)
                raise
        return [self.done[notebook.name] for notebook in todo]

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        """End what runs; what has not begun never does."""
        self.stopping = True
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(self.processes):
            _kill(process)

    def one(self, notebook: Notebook) -> Outcome:
        """Skip, execute or fail a notebook whose predecessors are done."""
        bad = [name for name in notebook.after if not self.done[name].good]
        if bad:
            return Outcome(notebook.name, "not run", reason=f"{bad[0]} failed")
        inputs = self._inputs(notebook)
        if not self.force and (result := self._unchanged(notebook, inputs)):
            return results.outcome(result, "unchanged")
        self.progress(f"        {notebook.name}  starts")
        prefix = f"{notebook.name}."
        with tempfile.TemporaryDirectory(dir=self.out / "work", prefix=prefix) as folder:
            return self._execute(notebook, inputs, Path(folder))

    def _inputs(self, notebook: Notebook) -> dict[str, Any]:
        """What a run is given: parameters, what must be live, and the runs it comes after."""
        given = dict(self.parameters.get(notebook.name, {}))
        if self.require and "REQUIRE" in notebook.parameters:
            given.setdefault("REQUIRE", ",".join(sorted(self.require)))
        after = {name: load_result(self.out, name)["run_id"] for name in notebook.after}
        return {"parameters": given, "require": self.require, "after": after}

    def _unchanged(self, notebook: Notebook, inputs: dict[str, Any]) -> dict[str, Any] | None:
        """The result that is there, if nothing that it depends on has changed."""
        try:
            result = load_result(self.out, notebook.name)
        except EvidenceError:
            return None
        executed = self.out / "executed" / f"{notebook.name}.ipynb"
        if cache.file_digest(executed) != result["executed_sha256"]:
            return None
        return None if cache.changed(self.root, notebook, result, **inputs) else result

    def _execute(self, notebook: Notebook, inputs: dict[str, Any], work: Path) -> Outcome:
        process = self._start(notebook, inputs["parameters"], work)
        self.processes.add(process)
        if self.stopping:  # the run was stopped between the two lines above
            _kill(process)
        self._await(notebook.name, process, work)
        self.processes.discard(process)
        if self.stopping:
            return Outcome(notebook.name, "not run", reason="stopped")
        try:
            result = results.collect(self.root, work, notebook, inputs, process.returncode)
        except (Failed, EvidenceError) as failed:
            reason = str(failed) + results.keep_failed(self.out, work, notebook.name)
            return Outcome(notebook.name, "failed", reason=reason + _left(work))
        results.promote(self.out, work, result)
        return results.outcome(result, "executed", _left(work))

    def _start(
        self, notebook: Notebook, parameters: dict[str, Any], work: Path
    ) -> subprocess.Popen:
        (work / "owner").write_text(str(os.getpid()), encoding="utf-8")
        job = {
            "notebook": str(notebook.path),
            "parameters": parameters,
            "work": str(work),
            "owner": os.getpid(),
            "lock": str(self.out / ".measuring.lock"),
            "exclusive": notebook.exclusive,
        }
        files.write_json(work / "job.json", job | self.limits)
        environment = os.environ | {
            "GPUBOOK_ROOT": str(self.root),
            "GPUBOOK_WORK": str(work),
            "GPUBOOK_OUT": str(self.out),
            "REQUIRE": ",".join(sorted(self.require)),
            # Progress bars of libraries miss a widget here; a page needs no word about it.
            "PYTHONWARNINGS": "ignore:IProgress not found",
        }
        with (work / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gpubook.book.worker", str(work / "job.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _await(self, name: str, process: subprocess.Popen, work: Path) -> None:
        """Wait for a worker, which keeps its time limits itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_WAIT_SECONDS)
        if process.returncode is None and not (work / "started").is_file():
            self.progress(f"        {name}  waits, another one measures")
        process.wait()


def _kill(process: subprocess.Popen) -> None:
    """End a worker at once, which ends what it started."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _left(work: Path) -> str:
    """What the notebook had left running, for people."""
    left = work / "left"
    return f"; ended what it left running: {left.read_text('utf-8')}" if left.is_file() else ""


def _sweep(folder: Path) -> None:
    """Remove work folders whose run was killed."""
    import psutil

    for work in folder.iterdir():
        with contextlib.suppress(OSError, ValueError):
            owner = int((work / "owner").read_text(encoding="utf-8"))
            old = time.time() - work.stat().st_mtime > _LOST_AFTER_SECONDS
            if old or not psutil.pid_exists(owner):
                shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt, so that a stopped run ends what it started."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
