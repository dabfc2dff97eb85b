"""Notebook 02's results: versions, configuration, runtimes, the workload, refusals."""

from __future__ import annotations

import re

import pytest

from gpubook import injection

NAME = "02-nvidia-container-toolkit"


@pytest.fixture
def page(results):
    return results(NAME)


def said(page, name):
    return "\n".join(step["stdout"] for step in page.evidence(name).data["steps"])


def test_the_toolkit_is_new_enough_for_cdi(page):
    found = re.search(r"CLI version (\d+)\.(\d+)", said(page, "toolkit-version"))
    assert (int(found[1]), int(found[2])) >= (1, 14)
    assert "nvidia.com/gpu=all" in said(page, "cdi-list")


def test_the_dry_run_adds_the_runtime_of_2023_and_nothing_else_to_an_empty_file(page):
    after = page.evidence("configured").data["dry_run"]
    rows = {row["setting"]: row["after"] for row in injection.settings_difference({}, after)}
    assert rows["runtimes.nvidia.path"].rsplit("/", 1)[-1] == "nvidia-container-runtime"
    assert rows["runtimes.nvidia.args"] == []
    if not page.evidence("configured").live:
        assert rows == {
            "features.cdi": True,
            "runtimes.nvidia.path": "nvidia-container-runtime",
            "runtimes.nvidia.args": [],
        }


def test_docker_info_names_the_runtime_and_keeps_the_default(page):
    assert "nvidia" in said(page, "runtimes")
    after = page.evidence("engine-after").data
    assert "nvidia" in after["runtimes"]
    if not page.evidence("engine-after").live:
        assert after["default_runtime"] == "runc"
        assert set(after["runtimes"]) == {"runc", "io.containerd.runc.v2", "nvidia"}
        assert "nvidia.com/gpu=all" in after["cdi_devices"]


@pytest.mark.parametrize("name", ["workload-device", "workload-gpus", "workload-runtime"])
def test_nvidia_smi_answers_in_a_container_on_every_path(page, name):
    (step,) = page.evidence(name).data["steps"]
    assert step["exit_code"] == 0
    assert re.search(r"NVIDIA-SMI \d+\.\d+.*CUDA Version: \d+\.\d", step["stdout"])
    stubbed = page.evidence(name).record["provenance"]["stub"]
    assert stubbed == ("STUB DRIVER" in step["stdout"]), "a stub says so, and nothing else does"


def test_the_three_requests_are_three(page):
    commands = {
        page.evidence(n).data["steps"][0]["command"]
        for n in ("workload-device", "workload-gpus", "workload-runtime")
    }
    assert len(commands) == 3
    assert all(command.endswith('"$IMAGE" nvidia-smi') for command in commands)


def test_each_wrong_request_is_refused_with_its_own_message(page):
    steps = page.evidence("wrong-requests").data["steps"]
    messages = (
        "unknown or invalid runtime name",
        "CDI device",  # refused, or not understood by an engine without CDI
        "executable file not found",
        "Cannot connect to the Docker daemon",
    )
    assert len(steps) == len(messages)
    for step, message in zip(steps, messages, strict=True):
        assert step["exit_code"] not in (0, None)
        if message != "CDI device":
            assert message in step["stdout"]
        else:
            assert re.search(r"unresolvable CDI devices|device driver \"cdi\"", step["stdout"])


def test_a_gpu_that_is_not_there_is_refused(page):
    for step in page.evidence("wrong-gpu-requests").data["steps"]:
        assert step["exit_code"] != 0
        assert re.search(r"unknown device|unresolvable CDI devices", step["stdout"])


def test_all_steps_of_the_chapter_are_there(page):
    assert set(page.names) == {
        "toolkit-version", "cdi-list", "configure-dry-run", "configured", "runtimes",
        "engine-after", "workload-device", "workload-gpus", "workload-runtime",
        "wrong-requests", "wrong-gpu-requests", "doctor-reads",
    }  # fmt: skip


def test_the_doctor_names_the_cause_of_each_wrong_request(page):
    read = page.evidence("doctor-reads")
    assert read.live
    assert [row["rule"] for row in read.data] == [
        "runtime-unknown",
        "cdi-unresolvable",
        "no-gpu-asked",
        "no-engine",
    ]
