"""The captured containers: everything classified, the path decided, the differences named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gpubook import injection
from gpubook.errors import BookError
from gpubook.injection.cdi import Hook
from gpubook.injection.classes import library_version
from tests.captured import (
    CAPTURES,
    CDI_COUNTS,
    COUNTS,
    PATHS,
    counts,
    injected,
    observation,
    unknown,
)
from tools.import_captures import FOLDERS, look, specs

SEEN = {folder: observation(folder) for folder in FOLDERS.values()}
ITEMS = {folder: injection.classify(seen) for folder, seen in SEEN.items()}


@pytest.mark.parametrize("folder", COUNTS)
def test_everything_is_classified_and_counted(folder):
    assert unknown(ITEMS[folder]) == set()
    assert counts(ITEMS[folder]) == COUNTS[folder]


@pytest.mark.parametrize("folder", [f for f in COUNTS if f != "no-gpu"])
def test_injected_mounts_and_nodes_are_those_that_the_plain_container_lacks(folder):
    # Read again without the library: what is in one text file and not in the other.
    def targets(name):
        lines = (CAPTURES / name / "mountinfo").read_text().splitlines()
        nodes = (CAPTURES / name / "dev.txt").read_text()
        return {line.split()[4] for line in lines} | set(
            re.findall(r" (/dev/nvidia\S*)$", nodes, re.M)
        )

    ours = {i.target for i in injected(ITEMS[folder]) if i.kind in ("mount", "device")}
    assert ours == targets(folder) - targets("no-gpu")


CDI_SIGNS = ["linux.devices", "nvidia/params", "scratch folder", "DEVICES=void"]
SIGNS = {
    "no-gpu": ["no driver file"],
    "engine-cdi": ["hook nvidia-cdi-hook", *CDI_SIGNS, "CDI device nvidia.com/gpu=all"],
    "jit-cdi": ["hook nvidia-ctk", *CDI_SIGNS, "runtime is nvidia"],
    "legacy": ["hook nvidia-container-runtime-hook", "bind mounts (/dev/", "a tmpfs", "--gpus"],
}


@pytest.mark.parametrize("folder", PATHS)
def test_the_path_is_decided_by_hooks_by_the_inside_and_by_the_request(folder):
    decision = injection.decide(SEEN[folder], ITEMS[folder])
    assert (decision.path, decision.against) == (PATHS[folder], ())
    for reason, sign in zip(decision.reasons, SIGNS[folder], strict=True):
        assert sign in reason.sign


@pytest.mark.parametrize(
    ("folder", "path"),
    [("no-gpu", "none"), ("engine-cdi", "cdi"), ("jit-cdi", "cdi"), ("legacy", "legacy")],
)
def test_from_inside_alone_cdi_and_legacy_differ_and_the_two_cdi_paths_do_not(folder, path):
    blind = replace(SEEN[folder], request=None, oci=None)
    assert injection.decide(blind).path == path


def test_docker_29_gives_gpus_by_cdi_and_the_decision_follows_what_is_seen():
    seen = SEEN["engine-cdi"]
    asked = replace(
        seen.request,
        device_requests=({"driver": "", "ids": [], "capabilities": [["gpu"]]},),
    )
    assert injection.decide(replace(seen, request=asked)).path == "engine-cdi"


def test_a_gpu_that_was_asked_for_and_did_not_come_is_no_gpu_and_says_so():
    seen = replace(SEEN["no-gpu"], request=SEEN["legacy"].request)
    decision = injection.decide(seen)
    assert decision.path == "none"
    assert any("--gpus" in reason.sign for reason in decision.against)


def test_nodes_passed_by_hand_are_the_path_of_device_flags():
    seen = SEEN["no-gpu"]
    request = replace(seen.request, devices=("/dev/nvidia0",))
    node = next(d for d in SEEN["engine-cdi"].devices if d.path == "/dev/nvidia0")
    seen = replace(seen, request=request, devices=(*seen.devices, node), oci=None)
    decision = injection.decide(seen)
    assert decision.path == "device-flags"
    assert counts(injection.classify(seen)) == {"gpu-node": 1}


def test_wsl2_is_known_by_its_node():
    node = replace(SEEN["no-gpu"].devices[0], path="/dev/dxg", major=10, minor=125)
    seen = replace(SEEN["no-gpu"], devices=(*SEEN["no-gpu"].devices, node), oci=None)
    assert injection.decide(seen).path == "wsl2"


def test_a_file_that_no_table_has_is_listed_as_unknown_not_dropped():
    seen = SEEN["engine-cdi"]
    odd = next(m for m in seen.mounts if "libcuda.so" in m.target)
    odd = replace(odd, target="/usr/lib/libnvidia-novelty.so.580.159.04")
    items = injection.classify(replace(seen, mounts=(*seen.mounts, odd)))
    assert unknown(items) == {odd.target}
    assert counts(items) == CDI_COUNTS | {"unknown": 1}


@pytest.mark.parametrize(
    ("path", "args"),
    [
        ("/usr/bin/evil", ("evil", "update-ldcache")),
        ("/usr/bin/nvidia-cdi-hook", ("nvidia-cdi-hook", "wipe")),
        ("/usr/bin/../../tmp/nvidia-cdi-hook", ("nvidia-cdi-hook", "update-ldcache")),
        ("/usr/bin/nvidia-ctk", ("nvidia-ctk", "update-ldcache")),
        ("/usr/bin/nvidia-ctk", ("nvidia-ctk", "cdi", "update-ldcache")),
    ],
)
def test_a_hook_that_is_not_nvidias_is_shown_as_such(path, args):
    seen = SEEN["engine-cdi"]
    hook = Hook("createContainer", path, args)
    oci = replace(seen.oci, hooks=(*seen.oci.hooks, hook))
    assert unknown(injection.classify(replace(seen, oci=oci))) == {" ".join(args)}


def targets(folder):
    """What was injected, without the parts of names that chance decides, and without hooks."""
    chance = re.compile(r"(?<=/run/nvidia-ctk-hook)[\w-]+|(?<=^HOSTNAME=).*")
    items = [i for i in injected(ITEMS[folder]) if i.kind != "hook"]
    return {(i.class_id, chance.sub("*", i.target)) for i in items}


def test_the_two_cdi_paths_differ_in_the_hooks_program_alone():
    assert targets("engine-cdi") == targets("jit-cdi")


def test_cdi_and_legacy_share_the_nodes_and_no_file():
    assert {target for _, target in targets("engine-cdi") & targets("legacy")} == {
        "/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"
    }  # fmt: skip


@pytest.mark.parametrize("folder", [f for f in COUNTS if f != "no-gpu"])
def test_every_library_has_the_version_of_the_drivers_module(folder):
    text = (CAPTURES / folder / "proc-driver-nvidia.txt").read_text()
    mounts = [i for i in ITEMS[folder] if (i.kind, i.class_id) == ("mount", "driver-library")]
    assert {library_version(i.target) for i in mounts} == {"580.159.04"}
    assert re.search(r"^NVRM version: .* 580\.159\.04 ", text, re.MULTILINE)
    assert "ModifyDeviceFiles: 0" in text  # in the plain container it is 1


@pytest.mark.parametrize(
    ("way", "docker", "toolkit", "cdi", "path"),
    [
        ("device", "28.5.2+dfsg4", "1.20.0", False, "engine-cdi"),
        ("runtime", "28.5.2+dfsg4", "1.20.0", False, "jit-cdi"),
        ("gpus", "28.5.2+dfsg4", "1.20.0", False, "legacy"),
        ("gpus", "29.1.5", "1.20.0", False, "legacy"),
        ("gpus", "29.2.0", "1.20.0", False, "engine-cdi"),
        ("runtime", "24.0.7", "1.17.9", False, "legacy"),
        ("device", "24.0.7", "1.20.0", True, None),
        ("device", "27.5", "1.20.0", False, None),
        ("device", "26.1.5", "1.20.0", True, "engine-cdi"),
        ("device", "28.2", "1.20.0", False, "engine-cdi"),
    ],
)
def test_versions_say_which_path_a_request_takes(way, docker, toolkit, cdi, path):
    assert injection.expected_path(way, docker=docker, toolkit=toolkit, cdi_enabled=cdi) == path


def test_what_is_no_version_is_refused_by_name():
    with pytest.raises(BookError, match="'latest' does not start with a version number"):
        injection.expected_path("gpus", docker="latest", toolkit="1.20.0")


def test_the_rule_of_versions_agrees_with_what_the_captures_show():
    for way, folder in FOLDERS.items():
        expected = injection.expected_path(way, docker="28.5.2+dfsg4", toolkit="1.20.0")
        assert injection.decide(SEEN[folder]).path == expected


@pytest.mark.parametrize("way", FOLDERS)
def test_what_a_page_has_of_a_container_gives_the_same_mounts_nodes_and_path(way):
    (step,) = look(way)(CAPTURES)["steps"]
    outputs = step["stdout"].split("\n\n")
    name = "plain" if way == "plain" else f"--{way}"
    read, whole = injection.from_outputs(*outputs, specs(CAPTURES)[name]), SEEN[FOLDERS[way]]
    assert (read.mounts, read.devices, read.env) == (whole.mounts, whole.devices, whole.env)
    assert [h.args for h in read.oci.hooks] == [h.args for h in whole.oci.hooks]
    assert injection.decide(read).path == PATHS[FOLDERS[way]]
