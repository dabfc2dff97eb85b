"""dockerd and the shims, as /proc shows them.

What a process is called and who started it can be read by every user. It needs the host's
process-id namespace: from inside a container, or with the engine in a virtual machine, there is
nothing to see.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpubook.engine.endpoint import answering

if TYPE_CHECKING:
    from docker.models.containers import Container

PROC = Path("/proc")


def read_processes(proc: Path = PROC) -> list[dict]:
    """Every process of this machine: ``{"pid", "ppid", "name", "args", "defunct"}``, by pid."""
    found = (_read_process(proc / str(pid)) for pid in sorted(_pids(proc)))
    return [process for process in found if process is not None]


def _process(pid: int, ppid: int, name: str, args: Sequence[str], defunct: bool) -> dict:
    return {"pid": pid, "ppid": ppid, "name": name, "args": list(args), "defunct": defunct}


def _pids(proc: Path) -> set[int]:
    try:
        with os.scandir(proc) as entries:
            return {int(e.name) for e in entries if e.name.isascii() and e.name.isdigit()}
    except OSError:
        return set()


def _read_process(folder: Path) -> dict | None:
    """One process, or ``None`` when it ended while we looked."""
    try:
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may itself contain any of them: cut at the last.
    head, _, tail = stat.rpartition(")")
    pid, _, name = head.partition(" (")
    state, ppid = tail.split()[:2]
    args = [a.decode("utf-8", "replace") for a in command.split(b"\0") if a]
    return _process(int(pid), int(ppid), name, args, state in "ZX")


def _program(process: dict) -> str:
    """The program's name: from its command line, which is not cut at 15 characters."""
    first = process["args"][0] if process["args"] else process["name"]
    return first.strip("[]").rsplit("/", 1)[-1]


def dockerd_of(processes: Sequence[dict], pid: int | None = None) -> dict | None:
    """The dockerd with that pid, else the first: a machine can run two (one rootless, say)."""
    found = [p for p in processes if _program(p) == "dockerd" and not p["defunct"]]
    return next((p for p in found if p["pid"] == pid), found[0] if found else None)


def shim_of(container: Container, proc: Path = PROC) -> int | None:
    """The pid of a running container's shim; ``None`` where its processes are not in /proc.

    The engine's word for the program's pid is checked: a remote engine's pid may exist here, too,
    as another program.
    """
    with answering("reading the container's state"):
        container.reload()
    processes = {p["pid"]: p for p in read_processes(proc) if not p["defunct"]}
    program = processes.get(container.attrs["State"]["Pid"])
    shim = processes.get(program["ppid"]) if program else None
    if shim and _program(shim).startswith("containerd-shim") and container.id in shim["args"]:
        return shim["pid"]
    return None
