"""What all tests share: the executed notebooks, the rendered book, and an account of both."""

import contextlib
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpubook import machine
from gpubook.book.execute import load_result
from gpubook.errors import BookError

pytest_plugins = ["tests.changed"]

# Threads of torch that wait for others take no processor from the tests beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@dataclass(frozen=True)
class ResultEvidence:
    """One evidence of a result."""

    item: dict

    @property
    def data(self):
        return self.item["record"]["data"]

    @property
    def live(self) -> bool:
        return self.item["mode"] == "live"

    @property
    def record(self) -> dict:
        return self.item["record"]


@dataclass(frozen=True)
class Results:
    """One notebook's results, as its tests judge them."""

    result: dict

    def evidence(self, name: str) -> ResultEvidence:
        """One evidence by its name; fails the test when the notebook did not give it."""
        for item in self.result["evidences"]:
            if item["record"]["name"] == name:
                return ResultEvidence(item)
        have = [item["record"]["name"] for item in self.result["evidences"]]
        pytest.fail(f"{self.result['notebook']} gave no evidence {name!r}, it gave {have}")

    @property
    def names(self) -> list[str]:
        return [item["record"]["name"] for item in self.result["evidences"]]

    def solution(self, exercise: int):
        """The answer of one exercise; fails the test when the notebook gave none."""
        for item in self.result["solutions"]:
            if item["exercise"] == exercise:
                return item["answer"]
        pytest.fail(f"{self.result['notebook']} has no solution of exercise {exercise}")


def gpubook(
    *arguments: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "gpubook.cli", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@contextlib.contextmanager
def turn(what: str) -> Iterator[None]:
    """One process of a parallel run at a time makes ``what``; it is there for the others."""
    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build" / f".test-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def executed() -> Path:
    """All notebooks executed for this machine, once for tests and book; the build folder."""
    with turn("book"):
        done = gpubook("run")
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "_build"


@pytest.fixture(scope="session")
def results(executed):
    """A function from a notebook's name to its results."""
    return lambda notebook: Results(load_result(executed, notebook))


@pytest.fixture(scope="session")
def built_book(executed) -> Path:
    """The rendered book's folder."""
    with turn("book"):
        done = gpubook("book")
    assert done.returncode == 0, done.stdout + done.stderr
    return executed / "html"


_PAGE = re.compile(r"\[((?:book|notebooks)/[\w-]+)\]$")


def lane(nodeid: str) -> str:
    """Which tests stay in one process when several run side by side.

    What uses the engine stays together: it shares the image and looks at the whole engine. So
    does a file, because its fixtures are made once; the pages of the book go wherever there is
    room, one by one.
    """
    file = nodeid.partition("::")[0]
    if file.startswith("tests/docker/"):
        return "docker"
    page = _PAGE.search(nodeid) if file.startswith("tests/browser/") else None
    return f"{file}-{page[1]}" if page else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Lanes by the names of the tests: the marker xdist_group needs a private part of pytest's
    that pytest 9.2 has changed, so that xdist 3.8 spreads groups over all processes."""
    from xdist.scheduler import LoadScopeScheduling

    class Lanes(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane(nodeid)

    return Lanes(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Skip what this machine cannot do, with the reason; with REQUIRE it is an error instead."""
    here = machine.probe()
    must = machine.required()
    for item in items:
        for name in ("docker", "gpu", "slurm"):
            capability = here.capabilities[name]
            if item.get_closest_marker(name) and not capability.available and name not in must:
                item.add_marker(pytest.mark.skip(reason=f"{name}: {capability.why}"))
    # The longest chain first; then what waits for the rendered book, beside the unit tests.
    order = ("docker", "slurm", "notebooks", "browser", "gpu", "unit")
    items.sort(key=lambda item: order.index(item.path.relative_to(ROOT / "tests").parts[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: the tests of engine and Hub mostly wait."""
    return (os.cpu_count() or 1) + 1


def pytest_sessionstart(session):
    """With REQUIRE, a missing capability is an error before any test."""
    try:
        machine.check(machine.required())
    except BookError as error:
        pytest.exit(str(error), returncode=2)  # 1 is for tests that failed


def pytest_terminal_summary(terminalreporter):
    """Say what ran live and what was replayed."""
    folder = ROOT / "_build"
    found = sorted((folder / "results").glob("*.json"))
    if not found or terminalreporter.config.option.collectonly:
        return
    terminalreporter.section("what the notebooks' results rest on")
    for path in found:
        if path.stem not in NOTEBOOKS:
            continue
        evidences = load_result(folder, path.stem)["evidences"]
        live = [e["record"]["name"] for e in evidences if e["mode"] == "live"]
        replayed: dict[str, list[str]] = {}
        for item in evidences:
            if item["mode"] == "recorded":
                machine_name = item["record"]["provenance"]["machine"]["name"]
                key = f"replayed from {machine_name} ({item['why']})"
                replayed.setdefault(key, []).append(item["record"]["name"])
        terminalreporter.write_line(path.stem)
        if live:
            terminalreporter.write_line(f"  live: {', '.join(live)}")
        for key, names in replayed.items():
            terminalreporter.write_line(f"  {key}: {', '.join(names)}")
