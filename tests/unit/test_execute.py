"""Executing notebooks: whole results or none, judged by a tiny book that runs for real."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import psutil
import pytest

from gpubook import cli
from gpubook.book import execute
from gpubook.book.results import Outcome
from tests.conftest import gpubook
from tests.unit import tiny_book

SQUARE = '%%measure square\n{"n": N, "square": N * N}'
SLEEP = ["sleep", str(10**6 + os.getpid())]
DAEMON = f"import subprocess; d = subprocess.Popen(['setsid', '-f', *{SLEEP}])"


@pytest.fixture(scope="module", autouse=True)
def environment():
    """What these tests require, they say; the book is where they are."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REQUIRE", "GPUBOOK_ROOT", "GPUBOOK_RECORDING"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def book(tmp_path):
    return tiny_book.make(tmp_path / "book")


def run(book, *arguments, code=0, **environment) -> str:
    """What ``gpubook run`` says, when it ends with that exit code."""
    done = gpubook("run", *arguments, cwd=book, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def sleepers() -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == SLEEP]


def results_of(book) -> list[str]:
    """All that runs left, but for what they are still working on."""
    return [name for name in tiny_book.outputs(book) if not name.startswith("work/")]


# ------------------------------------------------------- one run of many notebooks, one a test

NOTEBOOKS = {
    "01-square": (SQUARE,),
    "02-large": (
        "big = bytearray(400 * 2**20)",
        "(page.artifacts / 'made').write_bytes(b'0' * 1000);",
    ),
    "03-bad": ('raise ValueError("the sum is wrong\\nmore")',),
    "04-exits": ("import sys; sys.exit(0)", "x = 1"),
    "05-vanishes": ("import os; os._exit(0)", "x = 1"),
    "06-unfinished": ("x = 1", "x = 1"),
    "07-daemon": (f"{DAEMON}; d.wait()",),
    "08-loud": ("for _ in range(50): print('x' * 2**20)", "x = 1"),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A book after one run of all of NOTEBOOKS, and what that run said."""
    root = tiny_book.make(tmp_path_factory.mktemp("many") / "book")
    for name, cells in NOTEBOOKS.items():
        tiny_book.add(root, name, *cells, finish=name != "06-unfinished")
    tiny_book.add(root, "09-after-bad", "x = 1", after=["03-bad"])
    said = run(root, "-p", "N", "12", "--junit", "report.xml", code=1)
    return root, said


def about(many, name: str) -> tuple[str, list[str]]:
    """The line in which the run tells a notebook's outcome, and what the notebook left."""
    root, said = many
    (line,) = [line for line in said.splitlines() if f"]  {name}  " in line]
    return line, [path for path in tiny_book.outputs(root) if re.search(rf"/{name}\b", path)]


def test_the_result_tells_what_the_notebook_used(many):
    large, small = (tiny_book.result(many[0], name)["used"] for name in ("02-large", "01-square"))
    assert 300 * 2**20 < large["memory_bytes"] - small["memory_bytes"] < 500 * 2**20
    assert (large["files_bytes"], small["files_bytes"]) == (1000, 0)


def test_a_parameter_reaches_the_notebook_and_its_evidence(many):
    result = tiny_book.result(many[0], "01-square")
    (item,) = result["evidences"]
    assert item["record"]["data"]["square"] == 144
    assert item["record"]["parameters"] == result["parameters"] == {"N": 12}


def test_a_failing_cell_is_one_line_and_leaves_the_page_as_far_as_it_came(many):
    line, left = about(many, "03-bad")
    assert "FAIL" in line
    # The parameters that the run was given are a cell, too.
    assert "cell 4 (cell-0): ValueError: the sum is wrong" in line
    assert "Traceback" not in many[1]
    assert left == ["failed/03-bad.ipynb"]
    assert about(many, "01-square")[1] == ["executed/01-square.ipynb", "results/01-square.json"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("04-exits", "it ended before cell"),
        ("05-vanishes", "05-vanishes  FAILED"),
        ("06-unfinished", "it ended before page.finish()"),
    ],
)
def test_a_notebook_that_leaves_early_has_failed(many, name, says):
    line, left = about(many, name)
    assert says in line
    assert f"results/{name}.json" not in left


def test_what_a_notebook_leaves_running_is_ended_and_named(many):
    assert "ended what it left running: sleep" in about(many, "07-daemon")[0]
    assert sleepers() == []


def test_fifty_megabytes_of_output_are_no_result_and_no_large_file(many):
    line, left = about(many, "08-loud")
    assert "cell 4 (cell-0): TooMuchOutput: the cells printed and showed more than 16 MiB" in line
    assert left == ["failed/08-loud.ipynb"]
    assert (many[0] / "_build" / "failed" / "08-loud.ipynb").stat().st_size < 20 * 2**20


def test_a_notebook_is_not_run_when_the_one_before_it_failed(many):
    line, left = about(many, "09-after-bad")
    assert "09-after-bad  NOT RUN: 03-bad failed" in line
    assert left == []
    cases = {case.get("name"): case for case in ET.parse(many[0] / "report.xml").iter("testcase")}
    assert "ValueError" in cases["03-bad"].find("failure").get("message")
    assert cases["09-after-bad"].find("skipped") is not None


def test_the_gpus_memory_is_what_was_in_use_beyond_the_beginning(monkeypatch):
    from gpubook import machine, telemetry
    from gpubook.book import worker

    class Sampler:
        def __init__(self, **given):
            self.samples = []

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.samples += [{"gpu_memory_bytes": used} for used in (700, 3000, 900)]

    gpu = SimpleNamespace(available=True)
    monkeypatch.setattr(machine, "probe", lambda: SimpleNamespace(capabilities={"gpu": gpu}))
    monkeypatch.setattr(telemetry, "Sampler", Sampler)
    for expected in (2300, None):
        with worker._gpu_memory() as used:
            pass
        assert used == {"gpu_memory_bytes": expected}
        gpu.available = False


# ------------------------------------------------------------------ what need not run again


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A book of one notebook after its run, which nobody edits."""
    root = tiny_book.make(tmp_path_factory.mktemp("ran") / "book")
    tiny_book.add(root, "01-square", SQUARE)
    run(root)
    return root


@pytest.fixture
def squared(ran, tmp_path):
    return shutil.copytree(ran, tmp_path / "squared")


@pytest.fixture
def would(squared, monkeypatch, capsys):
    """A function that says what a run would do: all is real but the execution itself."""
    monkeypatch.chdir(squared)
    monkeypatch.setattr(
        execute._Run, "_execute", lambda _, notebook, *rest: Outcome(notebook.name, "executed")
    )

    def would(*arguments: str) -> str:
        assert cli.main(["run", *arguments]) == 0
        return capsys.readouterr().out

    return would


def test_what_is_unchanged_is_not_executed_again_and_what_changed_is(squared, would):
    tiny_book.add(squared, "02-other", "x = 1")
    said = run(squared)
    assert "01-square  unchanged" in said
    assert "02-other  executed" in said
    assert would().count("unchanged") == 2
    tiny_book.add(squared, "02-other", "x = 2")
    assert "01-square  unchanged" in would()
    assert "02-other  executed" in would()


def another_recording(book):
    folder = book / "recordings" / "h100" / "01-square"
    folder.mkdir(parents=True)
    (folder / "other.json").write_text("{}", encoding="utf-8")


def another_page(book):
    with (book / "_build" / "executed" / "01-square.ipynb").open("a") as page:
        page.write("\n")


@pytest.mark.parametrize("change", ["parameter", another_recording, another_page, "environment"])
def test_a_result_is_stale_when_anything_it_depends_on_changed(squared, would, monkeypatch, change):
    if callable(change):
        change(squared)
    if change == "environment":
        monkeypatch.setenv("GPUBOOK_RECORDING", "h200")
    assert "01-square  executed" in would(*(["-p", "N", "4"] if change == "parameter" else []))


def test_a_notebook_gets_what_the_one_before_it_made_and_follows_its_changes(book):
    tiny_book.add(book, "01-make", '(page.artifacts / "answer").write_text(str(N))')
    use = '%%measure got\n(page.artifacts_of("01-make") / "answer").read_text()'
    tiny_book.add(book, "02-use", use, after=["01-make"])
    run(book, "02-use")  # brings 01 along
    assert tiny_book.data(book, "02-use", "got") == "3"
    assert "02-use  executed" in run(book, "-p", "N", "8")
    assert tiny_book.data(book, "02-use", "got") == "8"


def test_recording_promotes_live_results_and_refuses_replays(squared):
    done = gpubook("record", "--machine", "test-box", cwd=squared)
    assert done.returncode == 0, done.stderr
    recording = squared / "recordings" / "test-box" / "01-square" / "square.json"
    assert recording.is_file()
    ask = "%%measure square --needs docker\n{}"
    tiny_book.add(squared, "01-square", ask)
    nowhere = {"DOCKER_HOST": f"unix://{squared}/no.sock"}
    assert "(0 live, 1 recorded)" in run(squared, **nowhere)
    before = sorted((squared / "recordings").rglob("*.json"))
    refused = gpubook("record", "--machine", "other", cwd=squared, **nowhere)
    assert refused.returncode == 1
    assert "replays themselves: 01-square/square (from test-box)" in refused.stderr
    assert sorted((squared / "recordings").rglob("*.json")) == before
    assert gpubook("record", "--machine", "Not A Name", cwd=squared).returncode == 2


# ---------------------------------------------------------------------------- limits and ends


def test_time_limits_end_a_cell_and_a_notebook(book):
    tiny_book.add(book, "01-slow", "import time; time.sleep(300)", "x = 1")
    where = "cell 3 (cell-0): Timeout:"
    assert f"{where} a cell ran over its 1 s" in run(book, "--cell-timeout", "1", code=1)
    assert f"{where} the notebook ran over its 3 s" in run(book, "--timeout", "3", code=1)
    assert "results/01-slow.json" not in tiny_book.outputs(book)


@pytest.fixture
def running(book):
    """A function that starts a run: in the middle of its notebook, it returns the run's process and
    the process id of the notebook's kernel. What is left of the run is killed after the test."""
    runs = []

    def start(first="pass", then="time.sleep(300)"):
        said = book / "said"
        os.mkfifo(said)
        listening = os.open(said, os.O_RDONLY | os.O_NONBLOCK)
        tell = f"pathlib.Path({str(said)!r}).write_text(str(os.getpid()))"
        tiny_book.add(book, "01-slow", first, f"import os, pathlib, re, time; {tell}", then)
        process = subprocess.Popen(
            [sys.executable, "-m", "gpubook.cli", "run"],
            cwd=book,
            stdout=subprocess.DEVNULL,
            # A test run in the background has Ctrl-C ignored, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        runs.append(process)
        assert select.select([listening], [], [], 120)[0], "the notebook never started"
        kernel = int(os.read(listening, 20))
        os.close(listening)
        said.unlink()
        return process, kernel

    yield start
    for process in runs:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_no_result_and_no_process(book, running, how):
    process, kernel = running()
    end_of_kernel = os.pidfd_open(kernel)
    process.send_signal(how)
    process.wait(timeout=30)
    assert process.returncode != 0
    assert select.select([end_of_kernel], [], [], 20)[0], "the kernel runs on"
    os.close(end_of_kernel)
    if how != signal.SIGKILL:
        assert tiny_book.outputs(book) == [], "it clears up"
        return
    assert results_of(book) == []
    tiny_book.add(book, "01-slow", "x = 1")
    run(book)  # clears up what the killed one left
    assert tiny_book.outputs(book) == ["executed/01-slow.ipynb", "results/01-slow.json"]


@pytest.mark.parametrize("cell", ["time.sleep(300)", "re.match('(a+)+b', 'a' * 50)"])
def test_after_kill_9_neither_a_kernel_that_is_busy_nor_its_daemon_stays(book, running, cell):
    """The second cell never lets another thread of its kernel run.

    Who looks after both hears of the end of its parent once for each of the parent's threads.
    """
    process, kernel = running(f"{DAEMON}; d.wait()", cell)
    (daemon,) = sleepers()
    keeper = psutil.Process(daemon).ppid()
    kept, *ends = [os.pidfd_open(pid) for pid in (keeper, kernel, daemon)]
    process.kill()
    process.wait()
    while not select.select([kept], [], [], 0.05)[0]:
        signal.pidfd_send_signal(kept, signal.SIGQUIT)
    for end in ends:
        assert select.select([end], [], [], 30)[0], "it runs on"
        os.close(end)
    os.close(kept)
    assert results_of(book) == []


def test_two_runs_at_once_each_leave_a_whole_result(book):
    tiny_book.add(book, "01-square", "import time; time.sleep(0.5)", SQUARE)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "gpubook.cli", "run", "-p", "N", n],
            cwd=book,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for n in ("5", "6")
    ]
    texts = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], texts
    n = tiny_book.result(book, "01-square")["parameters"]["N"]
    assert n in (5, 6)
    assert tiny_book.data(book, "01-square", "square") == {"n": n, "square": n * n}
    assert "unchanged" in run(book, "-p", "N", str(n))  # page and result are of the same run


def test_notebooks_that_measure_run_alone_and_the_others_side_by_side(book):
    code = "import time; start = time.time(); time.sleep(1); end = time.time()"
    for name in ("01-one", "02-two"):
        tiny_book.add(book, name, code, "%%measure span\n[start, end]", exclusive=True)
    for name in ("03-three", "04-four"):
        wait = (
            "import pathlib, time\n"
            f"pathlib.Path({str(book)!r}, {name!r}).touch()\n"
            "end = time.time() + 60\n"
            f"while len(list(pathlib.Path({str(book)!r}).glob('0?-*'))) < 2:\n"
            "    assert time.time() < end\n"
            "    time.sleep(0.05)"
        )
        tiny_book.add(book, name, wait)
    run(book, "-j", "4")
    spans = sorted(tiny_book.data(book, name, "span") for name in ("01-one", "02-two"))
    assert spans[0][1] <= spans[1][0]


def test_a_required_capability_that_is_missing_stops_before_anything_runs(book):
    tiny_book.add(book, "01-square", SQUARE)
    nowhere = f"unix://{book}/no.sock"
    said = run(book, "--require", "docker", code=1, DOCKER_HOST=nowhere)
    assert "required here but missing: docker: no Docker Engine at" in said
    run(book, code=1, DOCKER_HOST=nowhere, REQUIRE="docker")
    assert tiny_book.outputs(book) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "NOPE", "1"], "unknown parameter NOPE: 01-square takes N, REQUIRE"),
        (["-p", "N", "three"], "parameter N must be an integer like 3, not 'three'"),
        (["-p", "N", "2.5"], "parameter N must be an integer like 3, not '2.5'"),
        (["--require", "tpu"], "unknown capability tpu: choose from docker, image, host, root"),
        (["09-none"], "no notebook 09-none: there are 01-square"),
        (["-j", "0"], "must be at least 1"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(book, monkeypatch, capsys, arguments, says):
    tiny_book.add(book, "01-square", SQUARE)
    monkeypatch.chdir(book)
    assert cli.main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert len((out + err).strip().splitlines()) == 1
    assert tiny_book.outputs(book) == []


def test_outside_a_book_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run"]) == 1
    assert "no book here" in capsys.readouterr().err
