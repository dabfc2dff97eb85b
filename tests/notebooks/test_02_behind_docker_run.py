"""Page 02: the chain, the loop that catches runc, and the OCI specification."""

import itertools
import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.notebooks.pages import names, outputs, value

NOTEBOOK = "02-behind-docker-run"
CAPTURES = ROOT / "recordings/h100/captures"


def test_the_chain_begins_with_the_process_that_the_engine_names(page):
    chain = page.evidence("chain").data
    assert chain[0]["pid"] == int(outputs(page.evidence("start"))[1])
    assert [row["program"] for row in chain[:2]] == ["sleep", "containerd-shim"]
    for child, parent in itertools.pairwise(chain):
        assert child["parent"] == parent["pid"]


def test_no_daemon_and_no_runc_is_above_the_program(page):
    chain = page.evidence("chain").data
    (listing,) = outputs(page.evidence("daemons"))
    rows = {int(line.split()[0]): line.split()[2] for line in listing.splitlines()[1:]}
    daemons = {pid for pid, name in rows.items() if name in ("dockerd", "containerd")}
    assert {"dockerd", "containerd"} <= set(rows.values())
    assert not daemons & {row["pid"] for row in chain}
    assert page.solution(1) == [row["program"] for row in chain]


def test_runc_came_and_went_and_its_last_stage_became_the_program(page):
    """One process id, first called runc:[2:INIT], then sleep."""
    life = page.evidence("runc-life").data
    sleep = next(row for row in life if row["name"] == "sleep")
    before = [row["name"] for row in life if row["pid"] == sleep["pid"]]
    assert before[-2:] == ["runc:[2:INIT]", "sleep"]
    create = next(r for r in life if r["name"] == "runc" and " create " in r["command"])
    shim = max((r for r in life if r["name"] == "containerd-shim"), key=length)
    assert create["first_ms"] < sleep["first_ms"]
    assert create["last_ms"] < sleep["last_ms"]
    assert length(create) < length(shim)
    assert length(sleep) > 250  # half of what it was to sleep: a look can come late


def length(row):
    return row["last_ms"] - row["first_ms"]


def test_every_process_but_the_program_names_the_container(page):
    life = page.evidence("runc-life").data
    program = next(row["pid"] for row in life if row["name"] == "sleep")
    ids = {re.search(r"[0-9a-f]{64}", r["command"])[0] for r in life if r["pid"] != program}
    assert len(ids) == 1


def test_the_time_of_runc_is_what_a_look_every_tenth_of_a_millisecond_adds_up_to(page):
    life = page.evidence("runc-life").data
    bars = [(r["first_ms"], r["last_ms"]) for r in life if r["name"].startswith("runc")]
    whole = max(row["last_ms"] for row in life)
    looks = (n / 10 for n in range(round(10 * whole)))
    seen = sum(any(a <= look <= b for a, b in bars) for look in looks) / 10
    answer = page.solution(2)
    assert answer["runc_ms"] == pytest.approx(seen, abs=2 + 0.02 * seen)
    assert answer["share"] == pytest.approx(answer["runc_ms"] / whole)
    assert answer["runc_ms"] < sum(b - a for a, b in bars), "the bars overlap"


def test_the_specification_is_of_the_container_that_ran(page):
    spec = {row["key"]: row["value"] for row in page.evidence("oci-spec").data}
    assert spec["process.args"] == "sleep 3600"
    assert {"mount", "network", "uts", "pid", "ipc"} <= set(spec["linux.namespaces"].split(", "))
    assert spec["linux.seccomp.defaultAction"] == "SCMP_ACT_ERRNO"
    assert 0 < spec["process.capabilities"] < 20
    assert "/proc" in spec["mounts"].split(", ")


# --------------------------------------------------------------- the page's code on other machines


@pytest.fixture
def captured_proc(tmp_path):
    """The H100 host's process table, as a folder like /proc."""
    for line in (CAPTURES / "no-gpu/process-tree.txt").read_text().splitlines():
        found = re.match(r"\s*(\d+)\s+(\d+)\s+(?:[| ]*\\_ )?(\S+)", line)
        if found:
            folder = tmp_path / found[1]
            folder.mkdir()
            name = found[3].rsplit("/", 1)[-1][:15]
            (folder / "status").write_text(f"Name:\t{name}\nNoTab\nPPid:\t{found[2]}\n")
    return tmp_path


def test_on_the_h100_host_the_shim_hangs_from_process_1_too(captured_proc):
    parents = names(NOTEBOOK, "parents")["parents"]
    assert parents(1374, captured_proc) == [
        {"pid": 1374, "program": "sleep", "parent": 1351},
        {"pid": 1351, "program": "containerd-shim", "parent": 1},
    ]
    daemons = [row["program"] for row in parents(548, captured_proc)]
    assert daemons == ["containerd", "dockerd"], "there dockerd had started containerd"


def test_the_parents_of_this_process_begin_with_pytests():
    rows = names(NOTEBOOK, "parents")["parents"](os.getpid())
    assert (rows[0]["pid"], rows[0]["parent"]) == (os.getpid(), os.getppid())


def test_the_loop_sees_a_short_process_under_both_of_its_names(tmp_path):
    """A shell that becomes sleep: one process id, two names, as with runc and the program."""
    poll = names(NOTEBOOK, "parents", "poll")["poll"]
    script = "import os, time; time.sleep(0.2); os.execvp('sleep', ['sleep', '0.2'])"
    process = None

    def done():
        nonlocal process
        process = process or subprocess.Popen([sys.executable, "-c", script])
        return process.poll() is not None

    seen = poll(done)
    mine = {name: row for (pid, name), row in seen.items() if pid == process.pid}
    assert "sleep" in mine and len(mine) >= 2
    first = next(row for name, row in mine.items() if name.startswith("python"))
    assert first["first"] < first["last"] <= mine["sleep"]["first"] < mine["sleep"]["last"]
    assert mine["sleep"]["command"].split() == ["sleep", "0.2"]


def test_the_loop_leaves_out_what_ran_before():
    poll = names(NOTEBOOK, "parents", "poll")["poll"]
    until = time.perf_counter() + 0.1
    assert os.getpid() not in {pid for pid, _ in poll(lambda: time.perf_counter() > until)}


def test_the_h100_hosts_specification_in_short():
    in_short = names(NOTEBOOK, "in-short")["in_short"]
    spec = in_short(json.loads((CAPTURES / "no-gpu/oci-config.json").read_text()))
    assert spec["process.args"] == "sleep 20"
    assert spec["process.capabilities"] == 14
    assert sorted(spec["linux.namespaces"].split(", ")) == [
        "cgroup", "ipc", "mount", "network", "pid", "uts",
    ]  # fmt: skip
    assert (spec["hooks"], spec["linux.maskedPaths"]) == ("none", 12)
    assert len(spec["mounts"].split(", ")) == 10


def test_a_life_is_drawn_with_runc_in_another_colour_and_a_row_for_each_process():
    pyplot_rows = [
        {"name": "containerd-shim", "pid": 7, "first_ms": 100, "last_ms": 500},
        {"name": "runc", "pid": 8, "first_ms": 200, "last_ms": 200},
        {"name": "sleep", "pid": 8, "first_ms": 250, "last_ms": 450},
    ]
    scope = names(NOTEBOOK, "draw")
    fig = scope["draw"](pyplot_rows)
    (axes,) = fig.axes
    shim, runc, sleep = axes.patches
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7", "8"]
    assert runc.get_facecolor() != shim.get_facecolor() == sleep.get_facecolor()
    assert [bar.get_x() for bar in (shim, runc, sleep)] == [100, 200, 250]
    assert runc.get_width() > 0, "seen once is seen, too"
    assert axes.yaxis_inverted()
    scope["pyplot"].close(fig)


def test_overlapping_bars_of_runc_count_once():
    rows = [
        {"name": "runc", "first_ms": 100.0, "last_ms": 300.0},
        {"name": "runc:[2:INIT]", "first_ms": 150.0, "last_ms": 350.0},
        {"name": "runc", "first_ms": 200.0, "last_ms": 250.0},
        {"name": "runc", "first_ms": 900.0, "last_ms": 950.0},
        {"name": "sleep", "first_ms": 350.0, "last_ms": 1000.0},
    ]
    assert value(NOTEBOOK, "solution-2", runc_life=rows) == {"runc_ms": 300.0, "share": 0.3}
