"""The captured containers: everything classified, the path decided, the differences named."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re

import pytest

from gpubook import injection
from gpubook.evidence.records import recording_path
from gpubook.injection.captures import CONVERTERS, FOLDERS, look, specs
from tests.conftest import ROOT

CAPTURES = ROOT / "recordings/h100/captures"
SEEN = {folder: injection.from_capture(CAPTURES / folder) for folder in FOLDERS.values()}
ITEMS = {folder: injection.classify(seen) for folder, seen in SEEN.items()}

CDI_COUNTS = {
    "gpu-node": 1,
    "control-node": 3,
    "driver-library": 26,
    "driver-binary": 5,
    "firmware": 2,
    "graphics-config": 2,
    "procfs": 1,
    "hook-workspace": 1,
    "link": 43,
    "ld-config": 2,
    "ld-cache": 52,
    "environment": 2,
    "device-rule": 4,
    "hook": 6,
}
COUNTS = {
    "no-gpu": {},
    "engine-cdi": CDI_COUNTS,
    "jit-cdi": CDI_COUNTS,
    "legacy": {
        "gpu-node": 1,
        "control-node": 3,
        "driver-library": 10,
        "driver-binary": 5,
        "procfs": 2,
        "link": 9,
        "ld-cache": 10,
        "environment": 1,
        "hook": 1,
    },
}
PATHS = {"no-gpu": "none", "engine-cdi": "engine-cdi", "jit-cdi": "jit-cdi", "legacy": "legacy"}


@pytest.mark.parametrize("folder", COUNTS)
def test_everything_is_classified_and_counted(folder):
    assert injection.unknown(ITEMS[folder]) == ()
    assert injection.counts(ITEMS[folder]) == COUNTS[folder]
    for item in injection.injected(ITEMS[folder]):
        assert item.purpose, f"{item.target} has no purpose"


@pytest.mark.parametrize("folder", [f for f in COUNTS if f != "no-gpu"])
def test_injected_mounts_and_nodes_are_those_that_the_plain_container_lacks(folder):
    # Read again without the library: what is in one text file and not in the other.
    def targets(name):
        lines = (CAPTURES / name / "mountinfo").read_text().splitlines()
        nodes = (CAPTURES / name / "dev.txt").read_text()
        return {line.split()[4] for line in lines} | set(
            re.findall(r" (/dev/nvidia\S*)$", nodes, re.M)
        )

    ours = {i.target for i in injection.injected(ITEMS[folder]) if i.kind in ("mount", "device")}
    assert ours == targets(folder) - targets("no-gpu")


@pytest.mark.parametrize("folder", PATHS)
def test_the_path_is_decided_with_reasons_and_none_against(folder):
    decision = injection.decide(SEEN[folder], ITEMS[folder])
    assert decision.path == PATHS[folder]
    assert decision.reasons
    assert decision.against == ()


def reasons(folder):
    return {(r.where, r.speaks_for) for r in injection.decide(SEEN[folder]).reasons}


def test_each_path_is_told_by_hooks_by_the_inside_and_by_the_request():
    assert reasons("engine-cdi") >= {
        ("OCI spec", "cdi"),
        ("mountinfo", "cdi"),
        ("environment", "cdi"),
        ("docker inspect", "engine-cdi"),
    }
    assert reasons("jit-cdi") >= {("OCI spec", "cdi"), ("docker inspect", "jit-cdi")}
    assert reasons("legacy") == {
        ("OCI spec", "legacy"),
        ("mountinfo", "legacy"),
        ("docker inspect", "legacy"),
    }


@pytest.mark.parametrize(
    ("folder", "path"),
    [("no-gpu", "none"), ("engine-cdi", "cdi"), ("jit-cdi", "cdi"), ("legacy", "legacy")],
)
def test_from_inside_alone_cdi_and_legacy_differ_and_the_two_cdi_paths_do_not(folder, path):
    blind = dataclasses.replace(SEEN[folder], request=None, oci=None)
    assert injection.decide(blind).path == path


def test_docker_29_gives_gpus_by_cdi_and_the_decision_follows_what_is_seen():
    seen = SEEN["engine-cdi"]
    asked = dataclasses.replace(
        seen.request,
        device_requests=({"driver": "", "count": -1, "ids": [], "capabilities": [["gpu"]]},),
    )
    assert injection.decide(dataclasses.replace(seen, request=asked)).path == "engine-cdi"


def test_a_gpu_that_was_asked_for_and_did_not_come_is_no_gpu_and_says_so():
    seen = dataclasses.replace(SEEN["no-gpu"], request=SEEN["legacy"].request)
    decision = injection.decide(seen)
    assert decision.path == "none"
    assert any("--gpus" in reason.seen for reason in decision.against)


def test_nodes_passed_by_hand_are_the_path_of_device_flags():
    seen = SEEN["no-gpu"]
    request = dataclasses.replace(seen.request, devices=("/dev/nvidia0",))
    node = next(d for d in SEEN["engine-cdi"].devices if d.path == "/dev/nvidia0")
    seen = dataclasses.replace(seen, request=request, devices=(*seen.devices, node), oci=None)
    decision = injection.decide(seen)
    assert decision.path == "device-flags"
    assert injection.counts(injection.classify(seen)) == {"gpu-node": 1}


def test_wsl2_is_known_by_its_node():
    node = dataclasses.replace(SEEN["no-gpu"].devices[0], path="/dev/dxg", major=10, minor=125)
    seen = dataclasses.replace(SEEN["no-gpu"], devices=(*SEEN["no-gpu"].devices, node), oci=None)
    assert injection.decide(seen).path == "wsl2"


def test_a_file_that_no_table_has_is_listed_as_unknown_not_dropped():
    seen = SEEN["engine-cdi"]
    odd = next(m for m in seen.mounts if "libcuda.so" in m.target)
    odd = dataclasses.replace(odd, target="/usr/lib/libnvidia-novelty.so.580.159.04")
    items = injection.classify(dataclasses.replace(seen, mounts=(*seen.mounts, odd)))
    (found,) = injection.unknown(items)
    assert found.target == odd.target
    assert injection.counts(items) == CDI_COUNTS | {"unknown": 1}


@pytest.mark.parametrize(
    ("path", "args"),
    [
        ("/usr/bin/evil", ("evil", "update-ldcache")),
        ("/usr/bin/nvidia-cdi-hook", ("nvidia-cdi-hook", "wipe")),
        ("/usr/bin/../../tmp/nvidia-cdi-hook", ("nvidia-cdi-hook", "update-ldcache")),
        ("/usr/bin/nvidia-ctk", ("nvidia-ctk", "update-ldcache")),
    ],
)
def test_a_hook_that_is_not_nvidias_is_shown_as_such(path, args):
    seen = SEEN["engine-cdi"]
    hook = dataclasses.replace(seen.oci.hooks[0], path=path, args=args)
    oci = dataclasses.replace(seen.oci, hooks=(*seen.oci.hooks, hook))
    (found,) = injection.unknown(injection.classify(dataclasses.replace(seen, oci=oci)))
    assert (found.kind, found.source) == ("hook", path)


def targets(folder):
    """What was injected, without the parts of names that chance decides, and without hooks."""
    chance = re.compile(r"(?<=/run/nvidia-ctk-hook)[\w-]+|(?<=-nvcr-)\d+|(?<=^HOSTNAME=).*")
    items = [i for i in injection.injected(ITEMS[folder]) if i.kind != "hook"]
    return {(i.class_id, chance.sub("*", i.target)) for i in items}


def test_the_two_cdi_paths_differ_in_the_hooks_program_alone():
    assert targets("engine-cdi") == targets("jit-cdi")


def test_cdi_and_legacy_share_the_nodes_and_no_file():
    assert {target for _, target in targets("engine-cdi") & targets("legacy")} == {
        "/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"
    }  # fmt: skip


def test_every_library_has_the_version_of_the_drivers_module():
    for folder, seen in SEEN.items():
        names = [
            i.name for i in ITEMS[folder] if i.kind == "mount" and i.class_id == "driver-library"
        ]
        assert all(name.endswith(f".so.{seen.driver_version}") for name in names)
        assert seen.driver_version == "580.159.04"


def test_the_driver_may_make_nodes_in_the_plain_container_only():
    modify = {folder: seen.driver_params["ModifyDeviceFiles"] for folder, seen in SEEN.items()}
    assert modify == {"no-gpu": "1", "engine-cdi": "0", "jit-cdi": "0", "legacy": "0"}


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


SPEC = importlib.util.spec_from_file_location("import_captures", ROOT / "tools/import_captures.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


@pytest.mark.parametrize("row", CONVERTERS, ids=lambda row: row[1])
def test_a_recording_is_what_its_capture_gives(row):
    notebook, name, needs, capture, convert = row
    recording = json.loads(recording_path(ROOT, "h100", notebook, name).read_text())
    assert recording["data"] == json.loads(json.dumps(convert(CAPTURES)))
    assert recording["provenance"] == tool.provenance(CAPTURES, capture)
    assert recording["needs"] == sorted(needs.split(","))
