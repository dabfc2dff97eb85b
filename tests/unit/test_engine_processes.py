"""Processes and the shim, from this machine's /proc and from made-up ones."""

import os
import sys
from pathlib import Path

import pytest

from gpubook import engine


def test_this_python_is_found_in_proc_with_its_parent():
    found = {p["pid"]: p for p in engine.read_processes()}
    assert found[os.getpid()]["ppid"] == os.getppid()
    assert found[os.getpid()]["args"][0].endswith(Path(sys.orig_argv[0]).name)


def test_a_process_name_with_blanks_and_parentheses_is_read_whole(tmp_path):
    folder = tmp_path / "42"
    folder.mkdir()
    (folder / "stat").write_text("42 (a) (b c) S 7 42 42 0 -1")
    (folder / "cmdline").write_bytes(b"/x/a\0two words\0")
    (found,) = engine.read_processes(tmp_path)
    assert (found["name"], found["ppid"]) == ("a) (b c", 7)
    assert found["args"] == ["/x/a", "two words"]


def test_a_process_that_ended_meanwhile_is_left_out(tmp_path):
    (tmp_path / "43").mkdir()
    assert engine.read_processes(tmp_path) == []


ID = "a" * 64
SHIM = f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID} -address /run/c/c.sock"


class FakeContainer:
    """What `shim_of` asks of the SDK's container."""

    id = ID

    def __init__(self, pid: int) -> None:
        self.attrs = {"State": {"Pid": pid}}

    def reload(self) -> None:
        pass


@pytest.fixture
def proc(tmp_path):
    """A function that makes a /proc: each pid with its state, its parent and its command."""

    def make(processes):
        for pid, (state, ppid, command) in processes.items():
            folder = tmp_path / str(pid)
            folder.mkdir()
            (folder / "stat").write_text(f"{pid} (x) {state} {ppid} 1 1 0 -1")
            (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode())
        return tmp_path

    return make


def test_the_shim_is_the_programs_parent_and_carries_the_containers_id(proc):
    folder = proc({20: ("S", 1, SHIM), 21: ("S", 20, "sleep 60")})
    assert engine.shim_of(FakeContainer(21), folder) == 20


@pytest.mark.parametrize(
    "processes",
    [
        {21: ("S", 20, "sleep 60")},
        {20: ("S", 1, SHIM)},
        {20: ("S", 1, "/usr/bin/bash"), 21: ("S", 20, "sleep 60")},
        {20: ("S", 1, SHIM.replace(ID, "b" * 64)), 21: ("S", 20, "sleep 60")},
        {20: ("Z", 1, SHIM), 21: ("S", 20, "sleep 60")},
    ],
    ids=["no parent", "no program", "no shim", "another container's shim", "a zombie"],
)
def test_a_pid_of_another_machine_is_not_taken_for_one_of_ours(proc, processes):
    assert engine.shim_of(FakeContainer(21), proc(processes)) is None
