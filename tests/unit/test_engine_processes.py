"""dockerd, containerd, shim, workload and runc, from captures and from this machine's /proc."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubook import engine
from gpubook.engine import captures as converters
from gpubook.engine import processes

CAPTURES = Path(__file__).parents[2] / "recordings/h100/captures"
WAYS = ("no-gpu", "engine-cdi", "jit-cdi", "legacy")


def tree(way: str) -> list[dict]:
    return engine.parse_process_tree((CAPTURES / way / "process-tree.txt").read_text())


@pytest.mark.parametrize("way", WAYS)
def test_the_chain_on_the_h100_host(way):
    """dockerd starts containerd; the shim belongs to process 1, so it outlives both."""
    links = {link["role"]: link for link in engine.chain_of(tree(way))["links"]}
    assert list(links) == ["dockerd", "containerd", "shim", "workload"]
    assert (links["dockerd"]["pid"], links["containerd"]["ppid"]) == (525, 525)
    assert links["containerd"]["parent"] == "dockerd"
    assert (links["shim"]["ppid"], links["shim"]["parent"]) == (1, "process 1")
    assert links["workload"]["ppid"] == links["shim"]["pid"]
    assert links["workload"]["command"] == "sleep 20"


@pytest.mark.parametrize("way", WAYS)
def test_runc_is_not_running_while_its_container_runs(way):
    assert engine.chain_of(tree(way))["runc_running"] is False


def test_the_shim_carries_the_id_of_the_container_that_runc_was_told_to_make():
    spec = converters.oci_spec(CAPTURES)["spec"]
    chain = converters.process_chain(CAPTURES)
    assert len(chain["container_id"]) == 64
    assert spec["cgroup_path"] == f"/docker/{chain['container_id']}"
    assert chain["container_id"].startswith(spec["hostname"])


def test_the_chain_is_drawn_as_a_tree():
    lines = engine.tree_text(converters.process_chain(CAPTURES)).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["525", "1"],
        ["548", "525"],
        ["1351", "1"],
        ["1374", "1351"],
    ]
    assert " └─ containerd --config" in lines[2]
    assert "└─" not in lines[3]
    assert lines[4].endswith(" └─ sleep 20")
    assert max(map(len, lines)) <= 90


def test_ids_are_shown_as_docker_ps_shows_them():
    assert engine.short_ids(f"/docker/{A}/x {A[:63]}") == f"/docker/{A[:12]}…/x {A[:63]}"


def process(pid, ppid, command):
    args = command.split()
    name = args[0].rsplit("/", 1)[-1][:15]
    return {"pid": pid, "ppid": ppid, "name": name, "args": args, "defunct": False}


A, B = "a" * 64, "b" * 64
TWO = [
    process(10, 1, "/usr/bin/containerd"),
    process(11, 1, "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"),
    process(12, 11, "containerd --config /srv/own/containerd.toml"),
    process(20, 1, f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {A} -address /srv/own/c"),
    process(21, 20, "python train.py"),
    process(30, 1, f"containerd-shim-runc-v2 -namespace moby -id {B} -address /run/containerd/s"),
    process(31, 30, "nginx"),
]


def test_with_two_containers_the_one_that_is_meant_must_be_said():
    chain = engine.chain_of(TWO)
    assert chain["visible"] is False
    assert chain["why"].startswith("2 shims run here")
    assert engine.chain_of(TWO, B)["links"][-1]["command"] == "nginx"


def test_of_two_containerds_the_one_whose_socket_the_shim_names_is_the_chains():
    roles = {link["role"]: link["pid"] for link in engine.chain_of(TWO, A)["links"]}
    assert roles == {"dockerd": 11, "containerd": 12, "shim": 20, "workload": 21}


def test_a_containerd_of_the_system_is_beside_dockerd_not_below_it():
    links = {link["role"]: link for link in engine.chain_of(TWO, B)["links"]}
    assert (links["containerd"]["pid"], links["containerd"]["parent"]) == (10, "process 1")
    assert links["dockerd"]["pid"] == 11


def test_of_two_engines_the_binaries_are_those_of_the_one_that_is_meant():
    other = [
        process(50, 1, "/srv/bin/dockerd --config-file /srv/own/daemon.json"),
        process(51, 1, "/srv/bin/containerd --config /srv/own/containerd.toml"),
    ]
    info = {"runtimes": [], "init_binary": "", "containerd_address": ""}
    for pid, expected in ((11, "/usr/bin/containerd"), (50, "/srv/bin/containerd")):
        rows = engine.locate_binaries(TWO[:2] + other, info, daemon_pid=pid)
        assert {row["name"]: row["path"] for row in rows}["containerd"] == expected


def test_a_runc_that_makes_another_container_does_not_count():
    busy = [*TWO, process(22, 20, f"runc create {A}")]
    assert engine.chain_of(busy, A)["runc_running"] is True
    assert engine.chain_of(busy, A)["links"][-1]["command"] == "python train.py"
    assert engine.chain_of(busy, B)["runc_running"] is False


def test_where_the_engines_processes_are_hidden_the_chain_says_so():
    chain = engine.chain_of([process(1, 0, "/sbin/init")], A)
    assert (chain["visible"], chain["links"]) == (False, [])
    assert "--pid=host" in engine.tree_text(chain)


def test_a_process_tree_with_something_else_in_it_is_refused_with_its_line():
    with pytest.raises(engine.UnexpectedAnswer, match="line 2"):
        engine.parse_process_tree("  1  0 init\nhello\n")


@given(st.text())
def test_any_text_as_a_process_tree_is_parsed_or_refused(text):
    try:
        chain = engine.chain_of(engine.parse_process_tree(text))
    except engine.UnexpectedAnswer as error:
        assert "\n" not in str(error)
    else:
        assert chain["visible"] == bool(chain["links"])


@given(st.integers(1, 10**7), st.integers(0, 10**7), st.lists(st.sampled_from(WAYS), min_size=1))
def test_a_process_read_from_ps_keeps_its_numbers_and_words(pid, ppid, words):
    (found,) = engine.parse_process_tree(f"{pid:>8} {ppid:>8}  \\_ {' '.join(words)}")
    assert (found["pid"], found["ppid"], found["args"]) == (pid, ppid, words)


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


def test_a_zombie_is_marked_and_does_not_count_as_a_shim(tmp_path):
    for pid, state in ((60, "Z"), (61, "S")):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (containerd-shim) {state} 1 1 1 0 -1")
        (folder / "cmdline").write_bytes(f"containerd-shim-runc-v2\0-id\0{A}".encode())
    found = engine.read_processes(tmp_path)
    assert [p["defunct"] for p in found] == [True, False]
    assert [link["pid"] for link in engine.chain_of(found)["links"]] == [61]


def test_a_process_that_ended_meanwhile_is_left_out(tmp_path):
    (tmp_path / "43").mkdir()
    assert engine.read_processes(tmp_path) == []


def test_binaries_on_the_h100_host_are_found_without_asking_this_machine():
    found = {row["name"]: (row["path"], row["found_by"]) for row in converters.binaries(CAPTURES)}
    assert found["dockerd"] == ("/usr/bin/dockerd", "process 525")
    assert found["containerd-shim-runc-v2"] == ("/usr/bin/containerd-shim-runc-v2", "process 1351")
    assert found["docker-init"] == ("/usr/bin/docker-init", "docker info")
    assert found["docker-proxy"] == ("/usr/bin/docker-proxy", "dockerd's command line")
    # Started by name only: dockerd looked them up on its own PATH.
    assert found["containerd"] == found["runc"] == ("", "dockerd's own PATH")


def test_a_running_process_binary_beats_its_command_line_and_the_path():
    info = {"runtimes": [], "init_binary": "", "containerd_address": ""}
    daemon = [process(5, 1, "/usr/bin/dockerd")]
    rows = engine.locate_binaries(
        daemon, info, which=lambda name: f"/path/{name}", exe=lambda pid: f"/exe/{pid}"
    )
    found = {row["name"]: row["path"] for row in rows}
    assert (found["dockerd"], found["runc"]) == ("/exe/5", "/path/runc")


CREATE = (
    "runc --root /run/docker/runtime-runc/moby --log /run/b/log.json --log-format json "
    f"--systemd-cgroup create --bundle /run/b --pid-file /run/b/init.pid {A}"
)


def test_a_runc_command_line_tells_bundle_and_state_folder():
    assert engine.parse_runc_command(CREATE.split()) == {
        "subcommand": "create",
        "root": "/run/docker/runtime-runc/moby",
        "bundle": "/run/b",
        "container_id": A,
        "state_dir": f"/run/docker/runtime-runc/moby/{A}",
    }
    assert engine.parse_runc_command(["runc", "init"])["subcommand"] == "init"


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_words_after_runc_are_parsed(words):
    found = engine.parse_runc_command(["runc", *words])
    assert set(found) == {"subcommand", "root", "bundle", "container_id", "state_dir"}
    assert not found["subcommand"].startswith("-")


def test_a_short_lived_process_is_caught_in_the_act_and_seen_to_be_gone(tmp_path):
    """A stand-in called runc lives 0.3 s: watch must see it, with its words and its time."""
    runc = tmp_path / "runc"
    shutil.copy(shutil.which("sleep"), runc)
    life = engine.watch(lambda: subprocess.run([runc, "0.3"], check=True), about=str(tmp_path))
    (seen,) = [row for row in life["seen"] if row["name"] == "runc"]
    assert seen["command"] == f"{runc} 0.3"
    assert seen["ppid"] == os.getpid()
    # Seen for most of its life and for no longer than the whole: a ratio, not a clock time.
    assert 0.5 * 0.3 < seen["last_s"] - seen["first_s"] <= life["duration_s"]
    assert not Path(f"/proc/{seen['pid']}").exists()


def test_watch_leaves_out_what_ran_before_and_what_it_was_not_asked_about(tmp_path):
    runc = tmp_path / "runc"
    shutil.copy(shutil.which("sleep"), runc)
    with subprocess.Popen([runc, "30"]) as before:
        life = engine.watch(
            lambda: subprocess.run(["sleep", "0.1"], check=True), about=str(tmp_path)
        )
        before.kill()
    assert life["seen"] == []
    assert life["samples"] > 1


def test_watch_stops_looking_when_its_action_fails():
    def fail():
        raise engine.EngineStopped("gone")

    with pytest.raises(engine.EngineStopped):
        engine.watch(fail, about="x")


def test_what_a_related_process_started_is_related_and_a_neighbour_is_not():
    rows = [
        process(20, 1, f"containerd-shim-runc-v2 -id {A}"),
        process(21, 20, "runc init"),
        process(22, 21, "sleep 1"),
        process(30, 1, f"containerd-shim-runc-v2 -id {B}"),
        process(31, 30, "runc init"),
    ]
    assert processes.related_to(A, rows) == {20, 21, 22}


def test_a_child_that_still_looks_like_its_parent_is_not_counted_twice():
    """The shim forks: for a moment there are two shims, then the second is runc create."""
    shim, create = f"containerd-shim-runc-v2 -id {A} -address /s", CREATE
    rows = [process(20, 1, shim), process(21, 20, shim), process(21, 20, create)]
    assert processes.without_fork_copies(rows) == [rows[0], rows[2]]
    of_containerd = process(30, 1, "/usr/bin/containerd")
    assert processes.without_fork_copies([of_containerd]) == []


def test_labels_say_what_a_process_is_for():
    named = [
        ("runc", CREATE, "runc create"),
        ("runc:[2:INIT]", "runc init", "runc:[2:INIT]"),
        ("containerd-shim", "/usr/bin/containerd-shim-runc-v2 -namespace moby start", "shim start"),
        ("containerd-shim", f"containerd-shim-runc-v2 -id {A} -address /s", "shim"),
        ("sleep", "/bin/sleep 1", "sleep"),
    ]
    for name, command, label in named:
        assert processes._label({"name": name, "args": command.split()}) == label
