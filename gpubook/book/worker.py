"""Executes one notebook in a process of its own (``python -m gpubook.book.worker JOB``).

The job file names the notebook, the parameters and the folder to work in. What happened is
left in that folder: ``executed.ipynb`` (also when a cell failed), ``started`` (when the
measuring lock was had) and ``outcome.json``, which also has what the notebook used.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gpubook.evidence.records import write_json


def main(job_file: str) -> int:
    """Execute the job. Exit code 0 when every cell ran, 1 when one failed."""
    _end_with_parent()
    signal.signal(signal.SIGTERM, _interrupted)
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    work = Path(job["work"])
    # The user's own kernels of the same name must not shadow this environment's Python.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import papermill  # slow to import, so before the lock

    with Path(job["lock"]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if job["exclusive"] else fcntl.LOCK_SH)
        (work / "started").write_text(str(time.time()), encoding="utf-8")
        with _GpuMemory() as gpu:
            outcome = _execute(papermill, job, work)
    # Of the largest process that has ended below this one: the kernel.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    outcome["used"] = {"memory_bytes": memory, "gpu_memory_bytes": gpu.bytes}
    write_json(work / "outcome.json", outcome)
    return 0 if outcome["error"] is None else 1


def _execute(papermill: Any, job: dict, work: Path) -> dict[str, Any]:
    from papermill.exceptions import PapermillExecutionError

    target = work / "executed.ipynb"
    error = None
    try:
        papermill.execute_notebook(
            job["notebook"],
            str(target),
            parameters=job["parameters"],
            kernel_name="python3",
            cwd=str(Path(job["notebook"]).parent),
            progress_bar=False,
            log_output=False,
            execution_timeout=job["cell_timeout"],
            shutdown_kernel="immediate",
        )
    except PapermillExecutionError as failed:
        reason = str(failed.evalue).strip().split("\n")[0]
        error = {"kind": failed.ename, "reason": reason}
    except KeyboardInterrupt:
        error = {"kind": "Interrupted", "reason": "stopped before its end"}
    except Exception as failed:  # noqa: BLE001 - whatever ends a notebook becomes its reason
        kind = "Timeout" if "timed out" in str(failed).lower() else type(failed).__name__
        text = str(failed).strip().split("\n")
        reason = f"a cell ran over its {job['cell_timeout']} s" if kind == "Timeout" else text[0]
        error = {"kind": kind, "reason": reason}
    return {"error": error}


class _GpuMemory:
    """How much more of the first GPU's memory was in use at the peak than at the beginning.

    None where there is no GPU. Others who use the same GPU meanwhile are counted in.
    """

    bytes: int | None = None

    def __enter__(self) -> _GpuMemory:
        from gpubook import machine, telemetry

        self._sampler = None
        if machine.probe().capabilities["gpu"].available:
            self._sampler = telemetry.Sampler(gpu=0, interval=0.5)
            self._sampler.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._sampler is None:
            return
        self._sampler.__exit__(*error)
        seen = [s["gpu_memory_bytes"] for s in self._sampler.samples]
        if None not in seen:
            self.bytes = max(seen) - seen[0]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Ask Linux to end this process when the one that started it ends, however it ends."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
