"""Notebook 01's tables and figure: the right rows, in words and units that people read."""

from __future__ import annotations

import pytest

from gpubook.engine import show

ID = "0123456789ab" + "f" * 52
SEEN = [
    {"label": "shim", "pid": 7, "first_s": 0.1, "last_s": 0.5},
    {"label": "runc create", "pid": 8, "first_s": 0.2, "last_s": 0.25},
    {"label": "runc start", "pid": 9, "first_s": 0.3, "last_s": 0.3},
]


def lines(shown):
    return [line.rstrip() for line in repr(shown).splitlines()]


def test_a_steps_checks_are_its_own_and_one_that_does_not_apply_is_no_failure():
    rows = [
        {"step": "packages", "check": "docker-ce", "found": "no dpkg", "ok": None},
        {"step": "packages", "check": "containerd.io", "found": "2.1", "ok": True},
        {"step": "access", "check": "socket", "found": "no socket", "ok": False},
    ]
    told = lines(show.checks(rows, step="packages"))
    assert told[0] == "packages"
    assert told[3].endswith("does not apply")
    assert told[4].endswith("yes")
    assert "socket" not in "".join(told)


def test_an_engine_in_short_has_its_memory_in_gib_and_says_rootless_in_words():
    told = {
        "server": "29.2", "storage_driver": "overlay2", "backing_filesystem": "extfs",
        "image_store": "classic", "root_dir": "/var/lib/docker", "cgroup_version": "2",
        "cgroup_driver": "systemd", "security": ["seccomp", "cgroupns"], "rootless": False,
        "memory_bytes": 3 * 2**29,
    }  # fmt: skip
    values = {line[:21].rstrip(): line[21:].strip() for line in lines(show.info(told, caption="E"))}
    assert values["Memory"] == "1.5 GiB"
    assert values["Rootless"] == "no"
    assert values["Security"] == "seccomp, cgroupns"
    assert values["Storage driver"] == "overlay2 on extfs"


def test_a_life_is_drawn_in_milliseconds_with_runc_in_another_colour():
    (axes,) = show.life(SEEN).axes
    bars = axes.patches
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "shim (7)", "runc create (8)", "runc start (9)",
    ]  # fmt: skip
    assert [bar.get_x() for bar in bars] == pytest.approx([100, 200, 300])
    assert [bar.get_width() for bar in bars] == pytest.approx([400, 50, 2]), "one look is seen, too"
    assert bars[1].get_facecolor() == bars[2].get_facecolor() != bars[0].get_facecolor()
    assert axes.yaxis_inverted()


def test_only_calls_of_runc_that_name_a_container_are_listed():
    call = {"subcommand": "create", "seconds": 0.0606, "state_dir": f"/run/{ID}"}
    rows = [call | {"container_id": ID}, call | {"subcommand": "--version", "container_id": ""}]
    told = lines(show.calls(rows, caption="The calls of runc"))
    assert told[3:] == ["create  60.6           /run/0123456789ab…"]


def test_a_specification_is_told_in_words_with_short_ids():
    spec = {"args": ["sleep", "20"], "hooks": {"prestart": 1}, "capabilities": []}
    told = lines(show.specification(spec | {"cgroup_path": f"/docker/{ID}"}, caption="S"))
    assert [line.split(maxsplit=1)[1] for line in told[3:]] == [
        "sleep, 20", "prestart: 1", "none", "/docker/0123456789ab…",
    ]  # fmt: skip


def test_a_specification_that_could_not_be_read_is_an_empty_table():
    assert len(lines(show.specification(None, caption="S"))) == 3


def test_a_limit_stands_beside_what_was_asked_for_and_no_limit_is_a_dash():
    asked = {"memory_bytes": 256 * 2**20, "cpus": 0.5, "pids": 64}
    told = lines(show.limits(asked, asked | {"pids": None}, caption="L"))
    assert [line.split() for line in told[3:]] == [
        ["Memory", "(MiB)", "256", "256"],
        ["Cores", "0.5", "0.5"],
        ["Processes", "64", "–"],
    ]
