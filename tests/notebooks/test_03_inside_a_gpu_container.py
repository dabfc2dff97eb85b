"""Notebook 03's results: what each path injected, by class; the path; the reader's own device."""

from __future__ import annotations

import pytest

from gpubook import injection
from tests.unit.test_injection_captures import COUNTS

NAME = "03-inside-a-gpu-container"
RECORDED = {
    "container-plain": ("none", "no-gpu"),
    "container-device": ("engine-cdi", "engine-cdi"),
    "container-runtime": ("jit-cdi", "jit-cdi"),
    "container-gpus": ("legacy", "legacy"),
}


@pytest.fixture
def page(results):
    return results(NAME)


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_is_left_unknown_and_the_kept_counts_are_those_of_the_observation(page, name):
    data = page.evidence(name).data
    assert data["unknown"] == []
    items = injection.classify(injection.from_json(data["observation"]))
    assert injection.counts(items) == data["counts"]
    assert injection.capabilities(items) == data["capabilities"]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_container_has_the_counts_and_the_path_of_its_capture(page, name):
    evidence = page.evidence(name)
    if evidence.live:
        pytest.skip("measured here, not recorded")
    path, folder = RECORDED[name]
    assert evidence.data["path"] == path
    assert evidence.data["counts"] == COUNTS[folder]
    assert evidence.data["against"] == []


def test_the_control_got_nothing(page):
    data = page.evidence("container-plain").data
    assert data["path"] == "none"
    assert data["counts"] == {}


@pytest.mark.parametrize("name", ["container-device", "container-runtime", "container-gpus"])
def test_every_path_brings_the_node_the_control_nodes_and_libcuda(page, name):
    data = page.evidence(name).data
    assert data["counts"]["gpu-node"] >= 1
    assert data["counts"]["control-node"] >= 3
    seen = injection.from_json(data["observation"])
    assert injection.folder_of(seen, "cuda")
    assert injection.folder_of(seen, "nvidia-ml")
    assert {"compute", "utility"} <= set(data["capabilities"])


def test_the_request_with_device_is_answered_by_the_engines_cdi(page):
    data = page.evidence("container-device").data
    assert data["path"] == "engine-cdi"
    where = {(r["where"], r["speaks_for"]) for r in data["reasons"]}
    assert ("docker inspect", "engine-cdi") in where
    assert ("environment", "cdi") in where
    assert data["observation"]["env"]["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_the_runtime_makes_a_specification_or_runs_the_hook(page):
    assert page.evidence("container-runtime").data["path"] in ("jit-cdi", "legacy")
    assert page.evidence("container-gpus").data["path"] in ("legacy", "engine-cdi")


def test_device_nodes_are_mounts_on_the_legacy_path_and_on_no_other(page):
    for name in RECORDED:
        data = page.evidence(name).data
        mounted = [
            m["target"]
            for m in data["observation"]["mounts"]
            if m["target"].startswith("/dev/nvidia")
        ]
        assert bool(mounted) == (data["path"] == "legacy"), name


def test_the_stub_is_marked_wherever_it_answered(page):
    for name in page.names:
        record = page.evidence(name).record
        stubbed = "STUB DRIVER" in str(record["data"].get("smi", ""))
        assert record["provenance"]["stub"] == stubbed, name


def test_how_long_reading_took_is_known_where_it_was_read_here(page):
    for name in RECORDED:
        seconds = page.evidence(name).data["seconds"]
        assert (seconds is not None and seconds > 0) == page.evidence(name).live, name


def test_the_specification_is_fully_explained_and_unsuspicious(page):
    spec = injection.parse_spec(page.evidence("specification").data["text"])
    edits = spec.edits("all")
    assert spec.kind == "nvidia.com/gpu"
    assert all(line.class_id != "unknown" for line in injection.explain(edits))
    assert injection.review(edits) == []
    device = page.evidence("container-device")
    if not device.record["provenance"]["stub"]:
        seen = injection.from_json(device.data["observation"])
        assert injection.missing(edits, seen) == []


def test_the_readers_own_device_came_by_the_same_road(page):
    data = page.evidence("own-cdi").data
    assert data["path"] == "engine-cdi"
    assert data["counts"] == {"cdi-edit": 3}
    assert data["unknown"] == []
    assert {(i["kind"], i["target"]) for i in data["injected"]} == {
        ("mount", "/lamp/manual.txt"),
        ("device", "/dev/lamp"),
        ("env", "LAMP_COLOUR=red"),
    }
    manual, node, zeros = (step["stdout"] for step in data["steps"])
    assert manual == "Plug in. Switch on.\n"
    assert node.startswith("c")
    assert " 1, 5 " in node.replace(",  ", ", ")
    assert zeros.split() == ["00"] * 4
