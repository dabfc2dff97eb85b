"""A class played through against a real Hub, with one learner who means harm.

    GPUBOOK_IMAGE=gpu-plus-container:latest python -m tests.docker.rehearsal --seats 6

Each learner logs in with a code, takes a seat, opens page 01, saves a file and computes; then the
seat is broken, and the learner comes back to it. The last one tries to take the machine meanwhile.
Prints seconds and bytes; ends with 1 when anything failed: a log-in refused, a seat that did not
start, work lost. ``--record MACHINE`` keeps the figures for the instructor's guide.
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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest
from requests import RequestException
from websocket import WebSocketException

from gpubook.book import record
from gpubook.errors import exit_code
from gpubook.evidence.records import here
from gpubook.machine.endpoint import connect
from tests.docker.conftest import ROOT
from tests.docker.hub import FULL_DISK, Hub, Learner, clear, containers_of, running

PASSWORD = "a long enough one"
# Processes without end; 50 MB of output; all of /tmp, which is memory; the disk of the own files.
# Each goes on until it is refused, and may cost the seat.
HARMS = [
    'import subprocess as s, time; s.Popen(["bash", "-c", "b() { b | b & }; b"]); time.sleep(5)',
    'for _ in range(50): print("x" * 10**6)',
    'import subprocess; subprocess.run("cat /dev/zero > /tmp/full", shell=True)',
    FULL_DISK,
]
FAILS = (AssertionError, pytest.fail.Exception, RequestException, WebSocketException, OSError)


@dataclass
class Account:
    """What each thing took everybody who did it, and what failed."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def time(self, what: str, do: Callable[[Learner], None], learner: Learner) -> bool:
        """Whether it went well; the seconds are kept if so, the reason if not."""
        begun = time.perf_counter()
        try:
            do(learner)
        except FAILS as error:
            said = (str(error).splitlines() or [""])[0][:200]
            self.failures.append(f"{learner.name}, {what}: {type(error).__name__}: {said}")
            return False
        self.taken.setdefault(what, []).append(time.perf_counter() - begun)
        return True

    def figures(self) -> dict[str, dict[str, float]]:
        """Median and largest value of each."""
        return {
            what: {"median": statistics.median(values), "largest": max(values)}
            for what, values in self.taken.items()
        }


def work(learner: Learner) -> None:
    """Open page 01, save, compute."""
    page = f"/user/{learner.name}/api/contents/notebooks/01-first-container.ipynb"
    assert learner.ask("GET", page).json()["writable"]
    learner.run(f"open('/mnt/own.txt', 'w').write({learner.name!r})")
    compute(learner)


def compute(learner: Learner) -> None:
    """A computation, which must end well whatever a neighbour does."""
    assert learner.run("print(sum(range(10**6)))") == "499999500000\n"


def come_back(learner: Learner, engine: docker.DockerClient) -> None:
    """The container goes; the Hub gives another one, with all files."""
    if seat := containers_of(engine, learner.hub.mark).get(learner.name):
        with suppress(docker.errors.APIError):  # the Hub has noticed, too
            seat.remove(force=True)
    learner.ask("DELETE", f"/hub/api/users/{learner.name}/server")
    for _ in range(120):
        known = learner.ask("GET", f"/hub/api/users/{learner.name}").json()
        if not (known["server"] or known["pending"]):
            break
        time.sleep(0.5)
    learner.take_seat()
    kept = learner.run("print(open('/mnt/own.txt').read())")
    assert kept == f"{learner.name}\n", f"work of {learner.name} is lost"


def do_harm(learner: Learner, harm: str) -> None:
    """One way of doing harm, whatever becomes of the kernel and of the seat."""
    try:
        learner.run(harm, seconds=15)
    except FAILS as error:
        print(f"{learner.name}: {type(error).__name__}", file=sys.stderr)


def play(hub: Hub, engine: docker.DockerClient, names: list[str]) -> Account:
    """The whole class, all at once."""
    *good, bad = (Learner(hub, name) for name in names)
    codes, account = hub.codes(), Account()

    def log_in(learner: Learner) -> None:
        assert learner.log_in(codes[learner.name], PASSWORD), "refused"

    def come(learner: Learner) -> None:
        steps = {"log_in_s": log_in, "seat_s": Learner.take_seat, "work_s": work}
        all(account.time(what, do, learner) for what, do in steps.items())

    def all_at_once(what: str, do: Callable[[Learner], None], who: Iterable[Learner]) -> None:
        list(pool.map(lambda one: account.time(what, do, one), who))

    def back(learner: Learner) -> None:
        come_back(learner, engine)

    def harm_and_back() -> None:
        for harm in HARMS:
            do_harm(bad, harm)
            account.time("seat_after_harm_s", back, bad)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(come, [*good, bad]))
        seats = containers_of(engine, hub.mark).values()
        account.taken["memory_bytes"] = [
            seat.stats(stream=False)["memory_stats"]["usage"] for seat in seats
        ]
        trouble = pool.submit(harm_and_back)
        all_at_once("work_beside_harm_s", compute, good)
        all_at_once("seat_after_break_s", back, good)
        trouble.result()
        assert hub.ask("GET", "/hub/health").ok
    return account


def rehearse(engine: docker.DockerClient, image: str, seats: int, folder: Path) -> Account:
    """Start a Hub, play the class, clear up."""
    mark = f"gpubook-test-class-{secrets.token_hex(3)}"
    names = [f"learner-{n}" for n in range(seats)]
    try:
        with running(image, mark, folder, HUB_LEARNERS=" ".join(names), HUB_TEACHERS="") as hub:
            return play(hub, engine, names)
    finally:
        clear(engine, mark)


def main() -> int:
    """Rehearse as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seats", type=int, default=6)
    parser.add_argument(
        "--record", metavar="MACHINE", help="keep the figures in recordings/MACHINE"
    )
    args = parser.parse_args()
    image = os.environ.get("GPUBOOK_IMAGE")
    if not image or args.seats < 2:
        parser.error("GPUBOOK_IMAGE names the image, and a class has two learners at least")
    if args.record:
        record.check_name(args.record)
    engine = connect()
    engine.api.timeout = 120  # everybody asks it at once
    with tempfile.TemporaryDirectory() as folder:
        account = rehearse(engine, image, args.seats, Path(folder))
    figures = {"seats": args.seats, "failures": len(account.failures), **account.figures()}
    print(json.dumps(figures, indent=1))
    for failure in account.failures:
        print(failure)
    if args.record:
        figures |= {"bench": "rehearsal", "device": "cpu", "provenance": here()}
        print(f"kept {record.record_bench(ROOT, figures, args.record)}")
    return 1 if account.failures else 0


if __name__ == "__main__":
    sys.exit(exit_code("rehearsal", main))
