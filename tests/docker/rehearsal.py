"""A class played through against a real Hub, with one learner who means harm.

    GPUBOOK_IMAGE=gpu-plus-container:latest python -m tests.docker.rehearsal --seats 6

Each learner logs in with a code, takes a seat, opens page 01, saves a file and computes; then the
seat is broken, and the learner comes back to it. The last one tries to take the machine meanwhile.
Prints seconds and memory; ends with 1 when a log-in was refused or work was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
from requests import RequestException
from websocket import WebSocketException

from gpubook import machine
from tests.docker.hub import Hub, Learner, clear, containers_of, running

PASSWORD = "a long enough one"
# Processes without end, then memory, then the disk of /tmp, then 50 MB of output; each until it is
# refused. A seat may die of it.
HARM = r"""
import subprocess, sys
subprocess.Popen(["bash", "-c", "bomb() { bomb | bomb & }; bomb"], stderr=subprocess.DEVNULL)
subprocess.run(["dd", "if=/dev/zero", "of=/tmp/full", "bs=1M"], stderr=subprocess.DEVNULL)
for _ in range(50):
    print("x" * 10**6)
"""


def timed(do: Callable, *arguments) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - begun


def arrive(learner: Learner, code: str) -> dict[str, float]:
    """Log in, sit down, open page 01, save, compute. AssertionError when something is refused."""

    def log_in() -> None:
        assert learner.log_in(code, PASSWORD), f"{learner.name} was refused"

    def work() -> None:
        page = f"/user/{learner.name}/api/contents/notebooks/01-first-container.ipynb"
        assert learner.ask("GET", page).json()["writable"]
        learner.run(f"open('/mnt/own.txt', 'w').write({learner.name!r})")
        compute(learner)

    return {"log in": timed(log_in), "seat": timed(learner.take_seat), "work": timed(work)}


def compute(learner: Learner) -> None:
    """A computation, which must end well whatever a neighbour does."""
    assert learner.run("print(sum(range(10**6)))") == "499999500000\n"


def come_back(learner: Learner, engine: docker.DockerClient) -> None:
    """The container goes; the Hub gives another one, with all files. AssertionError if not."""
    seat = containers_of(engine, learner.hub.mark).get(learner.name)
    if seat:
        seat.remove(force=True)
    learner.ask("DELETE", f"/hub/api/users/{learner.name}/server")
    learner.take_seat()
    kept = learner.run("print(open('/mnt/own.txt').read())")
    assert kept == f"{learner.name}\n", f"work of {learner.name} is lost"


def harm(learner: Learner) -> None:
    """Do harm, whatever becomes of the kernel."""
    try:
        learner.run(HARM)
    except (WebSocketException, RequestException, OSError, AssertionError) as error:
        print(f"{learner.name}: {type(error).__name__}", file=sys.stderr)


def play(hub: Hub, engine: docker.DockerClient, names: list[str]) -> dict[str, list[float]]:
    """The whole class, all at once; the figures by what was done."""
    *good, bad = (Learner(hub, name) for name in names)
    codes = hub.codes()
    figures: dict[str, list[float]] = {}

    def keep(rows: list[dict[str, float]]) -> None:
        for row in rows:
            for what, seconds in row.items():
                figures.setdefault(what, []).append(seconds)

    with ThreadPoolExecutor(len(names)) as pool:
        keep(list(pool.map(lambda one: arrive(one, codes[one.name]), [*good, bad])))
        seats = containers_of(engine, hub.mark).values()
        usage = [seat.stats(stream=False)["memory_stats"] for seat in seats]
        figures["memory of a seat, MiB"] = [one["usage"] / 2**20 for one in usage]
        trouble = pool.submit(harm, bad)
        keep(list(pool.map(lambda one: {"work beside harm": timed(compute, one)}, good)))
        keep(
            list(pool.map(lambda one: {"seat after a break": timed(come_back, one, engine)}, good))
        )
        assert hub.ask("GET", "/hub/health").ok
        keep([{"seat after harm": timed(come_back, bad, engine)}])
        trouble.result()
    return figures


def rehearse(engine: docker.DockerClient, image: str, seats: int, folder: Path) -> dict:
    """Start a Hub, play the class, clear up; medians and largest values by what was done."""
    mark, names = (
        f"gpubook-test-class-{secrets.token_hex(3)}",
        [f"learner-{n}" for n in range(seats)],
    )
    try:
        with running(image, mark, folder, HUB_LEARNERS=" ".join(names), HUB_TEACHERS="") as hub:
            figures = play(hub, engine, names)
    finally:
        clear(engine, mark)
    return {
        what: {"median": statistics.median(values), "largest": max(values)}
        for what, values in figures.items()
    }


def main() -> int:
    """Rehearse as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seats", type=int, default=6)
    args = parser.parse_args()
    engine = docker.DockerClient(base_url=machine.docker_endpoint(), timeout=120)
    with tempfile.TemporaryDirectory() as folder:
        figures = rehearse(engine, os.environ["GPUBOOK_IMAGE"], args.seats, Path(folder))
    print(f"{args.seats} seats on {os.cpu_count()} cores; seconds unless it says else")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
