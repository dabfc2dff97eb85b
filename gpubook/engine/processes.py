"""dockerd, containerd, the shim, the workload and runc, as /proc shows them.

What a process is called and who started it can be read by every user; its binary
(/proc/PID/exe) only by its owner and by root. All of it needs the host's process-id namespace:
from inside a container, or with the engine in a virtual machine, there is nothing to see, and
the functions say so instead of guessing.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpubook.engine.endpoint import UnexpectedAnswer, answering

if TYPE_CHECKING:
    from docker.models.containers import Container

PROC = Path("/proc")

SHIM = "containerd-shim-runc-v2"

PROGRAMS = (
    "docker",
    "dockerd",
    "containerd",
    SHIM,
    "runc",
    "docker-init",
    "docker-proxy",
)
"""The engine's programs, from the one that people type to the small helpers."""

HIDDEN = (
    "the engine's processes are not in this machine's process table: the engine runs elsewhere "
    "(another machine, or Docker Desktop's virtual machine), or this notebook runs in a "
    "container without --pid=host"
)


def parse_process_tree(text: str) -> list[dict]:
    """Lines of `ps -eo pid,ppid,args --forest` → ``{"pid", "ppid", "name", "args", "defunct"}``.

    A header line is skipped. Raises UnexpectedAnswer for a line that is not a process.
    """
    processes = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.split()[:2] == ["PID", "PPID"]:
            continue
        match = re.match(r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+(?:[| ]*\\_ )?(.+)", line)
        if match is None:
            raise UnexpectedAnswer(f"process tree, line {number}: no process in {line[:60]!r}")
        args = match[3].split()
        defunct = args[-1:] == ["<defunct>"]
        name = args[0].strip("[]") if args else ""
        processes.append(_process(int(match[1]), int(match[2]), name, args, defunct))
    return processes


def read_processes(proc: Path = PROC) -> list[dict]:
    """Every process of this machine, in `parse_process_tree`'s shape, sorted by pid."""
    found = (_read_process(proc / str(pid)) for pid in sorted(_pids(proc)))
    return [process for process in found if process is not None]


def _process(pid: int, ppid: int, name: str, args: Sequence[str], defunct: bool) -> dict:
    return {"pid": pid, "ppid": ppid, "name": name, "args": list(args), "defunct": defunct}


def _pids(proc: Path) -> set[int]:
    try:
        with os.scandir(proc) as entries:  # not iterdir: this runs a thousand times a second
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


def _option(args: Sequence[str], *names: str) -> str:
    """The value of an option given as ``--name value``, ``-name value`` or ``--name=value``."""
    for i, arg in enumerate(args):
        for name in names:
            if arg == name and i + 1 < len(args):
                return args[i + 1]
            if arg.startswith(f"{name}="):
                return arg[len(name) + 1 :]
    return ""


def dockerd_of(processes: Sequence[dict], pid: int | None = None) -> dict | None:
    """The dockerd with that pid, else the first: a machine can run two (one rootless, say)."""
    found = [p for p in processes if _program(p) == "dockerd" and not p["defunct"]]
    return next((p for p in found if p["pid"] == pid), found[0] if found else None)


def chain_of(processes: Sequence[dict], container_id: str = "") -> dict:
    """The chain dockerd, containerd, shim, workload among the processes.

    ``{"visible", "why", "container_id", "links": [{"role", "pid", "ppid", "parent", "program",
    "command"}], "runc_running"}`` in the order of the chain; ``parent`` is the role of the
    parent, "process 1", or its program's name. ``container_id`` chooses the shim; without
    it there must be exactly one. Where the shim is not there, ``visible`` is False and ``why``
    says why.
    """
    live = [p for p in processes if not p["defunct"]]
    shims = [
        p
        for p in live
        if _program(p).startswith("containerd-shim")
        and _option(p["args"], "-id", "--id").startswith(container_id)
        and _option(p["args"], "-id", "--id")
    ]
    if len(shims) != 1:
        why = HIDDEN if not shims else f"{len(shims)} shims run here: say which container is meant"
        return {
            "visible": False,
            "why": why,
            "container_id": container_id,
            "links": [],
            "runc_running": False,
        }
    shim = shims[0]
    folder = _folder(_option(shim["args"], "-address", "--address"))
    containerd = _containerd_of(live, {folder})
    by_pid = {p["pid"]: p for p in live}
    daemon = by_pid.get(containerd["ppid"]) if containerd else None
    if daemon is None or _program(daemon) != "dockerd":
        daemons = [p for p in live if _program(p) == "dockerd"]
        daemon = next((p for p in daemons if folder in _folders(p["args"])), None)
        daemon = daemon or dockerd_of(live)
    workload = next((p for p in live if p["ppid"] == shim["pid"] and _program(p) != "runc"), None)
    members = {"dockerd": daemon, "containerd": containerd, "shim": shim, "workload": workload}
    roles = {p["pid"]: role for role, p in members.items() if p is not None}
    links = [
        {
            "role": role,
            "pid": p["pid"],
            "ppid": p["ppid"],
            "parent": _parent_name(p["ppid"], roles, by_pid),
            "program": _program(p),
            "command": " ".join(p["args"]),
        }
        for role, p in members.items()
        if p is not None
    ]
    return {
        "visible": True,
        "why": "",
        "container_id": _option(shim["args"], "-id", "--id"),
        "links": links,
        "runc_running": any(_program(p) == "runc" and p["ppid"] == shim["pid"] for p in live),
    }


def _containerd_of(processes: Sequence[dict], folders: set[str]) -> dict | None:
    """The containerd whose socket or configuration is in one of the folders, else the first.

    A machine can run two: the system's service and one that dockerd started for itself.
    """
    found = [p for p in processes if _program(p) == "containerd" and not p["defunct"]]
    return next((p for p in found if _home(p) in folders), found[0] if found else None)


def _home(containerd: dict) -> str:
    """The folder of a containerd's socket, as far as its command line tells."""
    args = containerd["args"]
    named = _option(args, "--address", "-a") or _option(args, "--config", "-c")
    return _folder(named or "/run/containerd/containerd.sock")


def _folders(args: Sequence[str]) -> set[str]:
    """The folders of all the files that a command line names."""
    values = (arg.rpartition("=")[2].removeprefix("unix://") for arg in args[1:])
    return {_folder(value) for value in values} - {""}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _parent_name(ppid: int, roles: dict[int, str], by_pid: dict[int, dict]) -> str:
    if ppid in roles:
        return roles[ppid]
    if ppid == 1:
        return "process 1"
    return _program(by_pid[ppid]) if ppid in by_pid else ""


def process_chain(container: Container, proc: Path = PROC) -> dict:
    """`chain_of` a running container, from this machine's /proc.

    The engine's word for the workload's pid is checked against the shim's child: a remote
    engine's pid may exist here too, as another program.
    """
    with answering("reading the container's state"):
        container.reload()
    chain = chain_of(read_processes(proc), container.id)
    pid = container.attrs["State"]["Pid"]
    if chain["visible"] and pid not in {link["pid"] for link in chain["links"]}:
        return chain | {"visible": False, "why": HIDDEN, "links": []}
    return chain


def tree_text(chain: dict) -> str:
    """The chain as an indented tree, long commands cut: what `ps --forest` would draw."""
    if not chain["visible"]:
        return chain["why"]
    depth: dict[str, int] = {}
    lines = []
    for link in chain["links"]:
        depth[link["role"]] = level = depth.get(link["parent"], -1) + 1
        command = short_ids(link["command"])
        branch = "   " * (level - 1) + " └─ " if level else ""
        room = 70 - len(branch)
        shown = command if len(command) <= room else command[: room - 1] + "…"
        lines.append(f"{link['pid']:>7} {link['ppid']:>7}  {branch}{shown}")
    return "\n".join(["    PID    PPID  COMMAND", *lines])


def short_ids(text: str) -> str:
    """The text with every 64-digit id cut to 12 digits, as `docker ps` shows them."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)


def locate_binaries(
    processes: Sequence[dict],
    info: dict,
    *,
    which: Callable[[str], str | None] = lambda name: None,
    exe: Callable[[int], str] = lambda pid: "",
    daemon_pid: int | None = None,
) -> list[dict]:
    """Where each of the engine's programs is: ``[{"name", "path", "found_by"}]``.

    Looked up in turn: the binary of a running process (``exe`` of its pid, else its command
    line), dockerd's options, `docker info` (runtimes, init), and ``which`` (the PATH). ``path``
    is "" where none of them tells. The two callables ask this machine; a capture has neither.
    ``daemon_pid`` says which dockerd is meant where two run.
    """
    named = {r["name"]: r["path"] for r in info["runtimes"]} | {"docker-init": info["init_binary"]}
    daemon = dockerd_of(processes, daemon_pid)
    proxy = _option(daemon["args"] if daemon else [], "--userland-proxy-path")
    told = _folders(daemon["args"]) if daemon else set()
    containerd = _containerd_of(processes, told | {_folder(info["containerd_address"])})
    shim = next((p for p in processes if containerd and _reports_to(p, containerd)), None)
    running = {"dockerd": daemon, "containerd": containerd, SHIM: shim}
    rows = []
    for name in PROGRAMS:
        process = running.get(name)
        said = (exe(process["pid"]) or process["args"][0]) if process else ""
        if process and said.startswith("/"):
            path, found_by = said, f"process {process['pid']}"
        elif name == "docker-proxy" and proxy.startswith("/"):
            path, found_by = proxy, "dockerd's command line"
        elif named.get(name, "").startswith("/"):
            path, found_by = named[name], "docker info"
        elif found := which(name):
            path, found_by = found, "PATH"
        elif process or named.get(name):
            path, found_by = "", "dockerd's own PATH"
        else:
            path, found_by = "", "unknown"
        rows.append({"name": name, "path": path, "found_by": found_by})
    return rows


def _reports_to(process: dict, containerd: dict) -> bool:
    """Whether the process is a shim of that containerd."""
    address = _option(process["args"], "-address", "--address")
    return _program(process) == SHIM and _folder(address) == _home(containerd)


def executable(pid: int, proc: Path = PROC) -> str:
    """The binary that a process of this machine runs; "" where we may not know (not ours)."""
    try:
        return str((proc / str(pid) / "exe").readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def search_path(pid: int, proc: Path = PROC) -> str:
    """The PATH of a process of this machine; "" where we may not know (only its owner may)."""
    try:
        environment = (proc / str(pid) / "environ").read_bytes()
    except OSError:
        return ""
    match = re.search(rb"(?:^|\0)PATH=([^\0]*)", environment)
    return match[1].decode("utf-8", "replace") if match else ""


def parse_runc_command(args: Sequence[str]) -> dict:
    """runc's command line → ``{"subcommand", "root", "bundle", "container_id", "state_dir"}``.

    ``root`` is runc's folder of states, ``state_dir`` the container's folder in it; "" where the
    command line does not say.
    """
    takes_value = {"--root", "--log", "--log-format", "--criu", "--rootless"}
    words = list(args[1:])
    root = _option(words, "--root")
    while words and words[0].startswith("-"):
        skip = 2 if words[0] in takes_value else 1
        words = words[skip:]
    subcommand = words[0] if words else ""
    ids = re.findall(r"\b[0-9a-f]{64}\b", " ".join(words))
    container_id = ids[-1] if ids else ""
    return {
        "subcommand": subcommand,
        "root": root,
        "bundle": _option(words, "--bundle", "-b"),
        "container_id": container_id,
        "state_dir": f"{root}/{container_id}" if root and container_id else "",
    }


_FORKING = ("containerd", "dockerd")


def without_fork_copies(rows: Iterable[dict]) -> list[dict]:
    """Leave out the moment between fork and exec, when a child still looks like its parent."""
    rows = list(rows)
    looks = {(row["pid"], row["name"], *row["args"]) for row in rows}
    return [
        row
        for row in rows
        if row["name"] not in _FORKING and (row["ppid"], row["name"], *row["args"]) not in looks
    ]


def related_to(about: str, rows: Iterable[dict]) -> set[int]:
    """The pids whose command line contains ``about``, and all that these started."""
    rows = list(rows)
    pids = {row["pid"] for row in rows if any(about in arg for arg in row["args"])}
    while grown := {row["pid"] for row in rows if row["ppid"] in pids} - pids:
        pids |= grown
    return pids


def watch(
    action: Callable[[], object], *, about: str, proc: Path = PROC, pause_s: float = 0.0005
) -> dict:
    """Look at /proc again and again while ``action`` runs; report the short-lived processes.

    Returns ``{"seen": [{"pid", "ppid", "name", "label", "command", "first_s", "last_s"}],
    "duration_s", "samples"}``: times in seconds since the action began, one row for each name a
    process had (runc's last act is to become the workload, under the same pid). Kept are only
    processes that began after ``action`` did, whose command line contains ``about`` (a
    container's id), and what these started: a busy machine makes other containers meanwhile.
    A process that lives shorter than one round of looking (``duration_s / samples``) can be
    missed.
    """
    before = _pids(proc)
    rows: dict[tuple[int, str], dict] = {}
    stop = threading.Event()
    rounds = 0
    start = time.perf_counter()

    def look() -> None:
        nonlocal rounds
        while not stop.is_set():
            for pid in _pids(proc) - before:
                process = _read_process(proc / str(pid))
                if process is None or process["defunct"]:
                    continue
                now = time.perf_counter() - start
                row = rows.setdefault((pid, process["name"]), process | {"first_s": now})
                row["last_s"] = now
                row["args"] = process["args"] or row["args"]
            rounds += 1
            time.sleep(pause_s)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        action()
    finally:
        stop.set()
        looker.join()
    kept = related_to(about, rows.values())
    seen = [
        {
            "pid": row["pid"],
            "ppid": row["ppid"],
            "name": row["name"],
            "label": _label(row),
            "command": " ".join(row["args"]),
            "first_s": row["first_s"],
            "last_s": row["last_s"],
        }
        for row in without_fork_copies(rows.values())
        if row["pid"] in kept
    ]
    return {
        "seen": sorted(seen, key=lambda row: (row["first_s"], row["pid"])),
        "duration_s": time.perf_counter() - start,
        "samples": rounds,
    }


def _label(process: dict) -> str:
    """A short name that says what the process is for: "runc create", "shim start"."""
    program, args = _program(process), process["args"]
    if process["name"].startswith("runc:["):
        return process["name"]  # runc's own names for its stages inside the new namespaces
    if program == "runc":
        return f"runc {parse_runc_command(args)['subcommand']}".strip()
    if program.startswith("containerd-shim"):
        return f"shim {args[-1]}" if args[-1:] in (["start"], ["delete"]) else "shim"
    return program


def watch_life(container: Container, proc: Path = PROC) -> dict:
    """`watch` a created container from its start to its end.

    Returns ``watch``'s dict and ``container_id``, ``workload_pid`` (of the process that was runc
    before it was the workload), and ``runc``: `parse_runc_command` of each runc seen, with its
    pid and how long it lived, in seconds. ``visible`` is False, with ``why``, where no runc could
    be seen.
    """

    def live() -> None:
        container.start()
        container.wait(timeout=60)

    with answering("running a container"):
        life = watch(live, about=container.id, proc=proc)
    runc = [
        parse_runc_command(row["command"].split())
        | {"pid": row["pid"], "seconds": row["last_s"] - row["first_s"]}
        for row in life["seen"]
        if row["name"] == "runc"
    ]
    stages = {row["pid"] for row in life["seen"] if row["name"].startswith("runc:[")}
    became = [r for r in life["seen"] if r["pid"] in stages and not r["name"].startswith("runc")]
    return life | {
        "visible": bool(runc),
        "why": "" if runc else HIDDEN,
        "container_id": container.id,
        "workload_pid": became[-1]["pid"] if became else None,
        "runc": runc,
    }
