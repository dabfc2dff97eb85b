"""Executes one notebook in processes of its own (``python -m gpubook.book.worker JOB``).

The first looks after the second, which executes: when that has ended, or the run that started
both was killed, it ends every process that the notebook has left, daemons among them.

The job file names the notebook, the parameters and the folder to work in. What happened is
left in that folder: ``executed.ipynb`` (also when a cell failed), ``started`` (when the
measuring lock was had) and ``outcome.json``, which also has what the notebook used; ``left``
names the processes that had to be ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.programs import CHILD_SUBREAPER, PARENT_DEATH_SIGNAL, prctl

OUTPUT_BYTES = 16 * 2**20
"""The most that a notebook's cells may print and show."""
_GRACE_SECONDS = 1  # for what a kernel had started to end by itself
_KIND_SECONDS = 10  # for a notebook over its time to be kept as far as it came


def main(job_file: str) -> int:
    """Have the job executed; 0 when every cell ran, 1 when one failed.

    SIGTERM and SIGQUIT stop it at once; so does the death of our parent. A time limit stops it
    with what there is.
    """
    job = files.read_json(job_file)
    worker = 0

    # More than one signal can come: a parent with threads dies thread by thread.
    def stop(*_: object) -> None:
        if worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, stop)
    prctl(CHILD_SUBREAPER, 1)  # a daemon whose parent has ended becomes our child, and is found
    prctl(PARENT_DEATH_SIGNAL, signal.SIGQUIT)
    if os.getppid() != job["owner"]:
        return 1
    worker = os.fork()
    if not worker:
        return _work(job)
    _, status = os.waitpid(worker, 0)
    worker = 0
    if left := _end_descendants():
        (Path(job["work"]) / "left").write_text(", ".join(left), encoding="utf-8")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_descendants() -> list[str]:
    """End what is left below this process; the names of what did not end by itself."""
    import psutil

    names: list[str] = []
    grace = float(_GRACE_SECONDS)
    while below := psutil.Process().children(recursive=True):
        _, alive = psutil.wait_procs(below, timeout=grace)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                names.append(process.name())
                process.kill()
        grace = 0.1
    return names


def _work(job: dict[str, Any]) -> int:
    """Execute the job."""
    prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    work = Path(job["work"])
    # The user's own kernels of the same name must not shadow this environment's Python.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # nbformat imports jsonschema, which builds a grammar of internationalised addresses where it
    # finds this package: more than a second of every notebook, for a format that none has.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    import papermill  # slow to import, so before the lock

    with Path(job["lock"]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if job["exclusive"] else fcntl.LOCK_SH)
        (work / "started").write_text(str(time.time()), encoding="utf-8")
        with _gpu_memory() as used, _time_limit(job["total_seconds"]):
            outcome = _execute(papermill, job, work)
    # Of the largest process that has ended below this one: the kernel.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    outcome["used"] = used | {"memory_bytes": memory}
    files.write_json(work / "outcome.json", outcome)
    return 0 if outcome["error"] is None else 1


def _execute(papermill: Any, job: dict, work: Path) -> dict[str, Any]:
    client = papermill.engines.PapermillNotebookClient
    papermill.engines.PapermillNotebookClient = _bounded(client)
    try:
        papermill.execute_notebook(
            job["notebook"],
            str(work / "executed.ipynb"),
            parameters=job["parameters"],
            kernel_name="python3",
            cwd=str(Path(job["notebook"]).parent),
            progress_bar=False,
            log_output=False,
            execution_timeout=job["cell_seconds"],
            shutdown_kernel="immediate",
        )
    except (Exception, _Stopped) as failed:  # noqa: BLE001 - whatever ends it is its reason
        kind, reason = _reason(failed, job["cell_seconds"])
        return {"error": {"kind": kind, "reason": reason}}
    return {"error": None}


def _reason(failed: BaseException, cell_seconds: float) -> tuple[str, str]:
    """What ended a notebook: its kind, and the reason in one line."""
    from papermill.exceptions import PapermillExecutionError

    match failed:
        case PapermillExecutionError():
            return failed.ename, str(failed.evalue).strip().split("\n")[0]
        case _Stopped():
            return failed.args
    text = str(failed).strip().split("\n")[0]
    if "timed out" in str(failed).lower():
        return "Timeout", f"a cell ran over its {cell_seconds:g} s"
    return type(failed).__name__, text


class _Stopped(KeyboardInterrupt):
    """Ends an execution as Ctrl-C does, whatever the cell is doing; has a kind and a reason."""


def _bounded(client: type) -> type:
    """papermill's client, but one that keeps so much output and no more."""

    class Bounded(client):
        shown = 0

        def process_message(self, msg: dict, *rest: Any) -> Any:
            if msg["msg_type"] in {"stream", "display_data", "execute_result", "error"}:
                self.shown += len(str(msg["content"]))
            if self.shown > OUTPUT_BYTES:
                most = f"the cells printed and showed more than {OUTPUT_BYTES // 2**20} MiB"
                raise _Stopped("TooMuchOutput", f"{most}; write large data to a file")
            return super().process_message(msg, *rest)

    return Bounded


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End what runs in here after so many seconds: kindly, and if that does not help, not."""
    reason = f"the notebook ran over its {seconds:g} s"

    def end(*_: object) -> None:
        print(reason, flush=True)  # into the log, for when nothing else can be said any more
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the next alarm ends this process
        raise _Stopped("Timeout", reason)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, _KIND_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _gpu_memory() -> Iterator[dict[str, int | None]]:
    """How much more of the first GPU's memory was in use at the peak than at the beginning.

    None where there is no GPU. Others who use the same GPU meanwhile are counted in.
    """
    from gpubook import machine, telemetry

    used: dict[str, int | None] = {"gpu_memory_bytes": None}
    if not machine.probe().capabilities["gpu"].available:
        yield used
        return
    with telemetry.Sampler(gpu=0, interval=0.5) as sampler:
        yield used
    samples = [sample["gpu_memory_bytes"] for sample in sampler.samples]
    if None not in samples:
        used["gpu_memory_bytes"] = max(samples) - samples[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
