"""Page 05's results: versions, configuration, three requests, their paths, refusals."""

import itertools
import json
import re

import pytest

from gpubook import doctor, injection
from gpubook.evidence.records import recordings_of
from tests.captured import observation
from tests.conftest import ROOT
from tests.notebooks import pages
from tools.import_captures import FOLDERS

NOTEBOOK = "05-nvidia-container-toolkit"
WAYS = {"--gpus": "gpus", "--device": "device", "--runtime": "runtime"}
WORKLOADS = ("workload-gpus", "workload-device", "workload-runtime")


def machine_of(recording):
    return recording["provenance"]["machine"]["name"]


@pytest.fixture(scope="module")
def rules():
    return pages.names(NOTEBOOK, "rules")


def test_the_toolkit_is_new_enough_for_cdi_and_lists_all_gpus(page):
    version = re.search(r"CLI version (\d+)\.(\d+)", pages.printed(page, "toolkit-version")[0])
    assert (int(version[1]), int(version[2])) >= (1, 14)
    assert "nvidia.com/gpu=all" in pages.printed(page, "cdi-list")[0].splitlines()


def test_the_dry_run_adds_the_runtime_and_at_most_switches_cdi_on(page):
    text = pages.printed(page, "configure-dry-run")[0]
    after = json.loads(text[text.index("{\n") :])
    runtime = after["runtimes"]["nvidia"]
    assert runtime["path"].rsplit("/", 1)[-1] == "nvidia-container-runtime"
    assert runtime["args"] == []
    if not page.evidence("configure-dry-run").live:
        assert after == {"features": {"cdi": True}, "runtimes": {"nvidia": runtime}}


def test_docker_info_names_the_runtime_the_default_and_the_cdi_devices(page):
    lines = [line.strip() for line in pages.printed(page, "docker-info")[0].splitlines()]
    (runtimes,) = [line for line in lines if line.startswith("Runtimes:")]
    assert {"runc", "io.containerd.runc.v2", "nvidia"} <= set(runtimes.split())
    assert "CDI spec directories:" in lines
    if not page.evidence("docker-info").live:
        assert "Default Runtime: runc" in lines
        assert "cdi: nvidia.com/gpu=all" in lines


@pytest.mark.parametrize("name", WORKLOADS)
def test_nvidia_smi_answers_in_a_container_however_it_is_asked_for(page, name):
    (step,) = page.evidence(name).data["steps"]
    assert step["exit_code"] == 0
    assert step["command"].endswith('"$IMAGE" nvidia-smi')
    assert re.search(r"NVIDIA-SMI \d+\.\d+.*CUDA Version: \d+\.\d", step["stdout"])


def test_the_three_requests_are_three(page):
    commands = {page.evidence(name).data["steps"][0]["command"] for name in WORKLOADS}
    assert len(commands) == 3


def test_the_table_agrees_with_what_the_containers_showed(page, rules):
    engine, toolkit, *counts = pages.printed(page, "paths-shown")
    for request, count in zip(WAYS, counts, strict=True):
        path = rules["path"](request, engine, toolkit)
        assert path != "refused"
        assert (path == "legacy") == (count.strip() != "0"), request


@pytest.mark.parametrize("recording", recordings_of(ROOT, NOTEBOOK, "paths-shown"), ids=machine_of)
def test_the_table_agrees_with_what_was_recorded(rules, recording):
    engine, toolkit, *counts = [step["stdout"] for step in recording["data"]["steps"]]
    paths = [rules["path"](request, engine, toolkit) for request in WAYS]
    assert [path == "legacy" for path in paths] == [count.strip() != "0" for count in counts]


def test_the_table_agrees_with_the_decision_on_each_captured_container(rules):
    for request, way in WAYS.items():
        seen = observation(FOLDERS[way])
        assert rules["path"](request, "28.5.2+dfsg4", "1.20.0") == injection.decide(seen).path


ENGINES = ("19.03", "24.0.7", "25.0", "27.5", "28.1.1", "28.2.2", "28.5.2+dfsg4", "29.1", "29.2.0")
TOOLKITS = ("1.14.3", "1.17.8", "1.18.0", "1.20.0")


def disagreements(path):
    """Where the page's function and the library's differ."""
    return [
        (request, engine, toolkit)
        for (request, way), engine, toolkit in itertools.product(WAYS.items(), ENGINES, TOOLKITS)
        if path(request, engine, toolkit)
        != (injection.expected_path(way, docker=engine, toolkit=toolkit) or "refused")
    ]


def test_the_page_and_the_library_give_each_pair_of_versions_the_same_path(rules):
    assert disagreements(rules["path"]) == []


def test_each_row_of_the_table_and_its_order_count(rules):
    rows = rules["PATHS"]
    for row in rows:
        fewer = tuple(other for other in rows if other is not row)
        assert disagreements(lambda *asked, less=fewer: rules["path"](*asked, less)), row
    assert disagreements(lambda *asked: rules["path"](*asked, tuple(reversed(rows))))


MESSAGES = (
    "unknown or invalid runtime name",
    r"unresolvable CDI devices|device driver \"cdi\"",  # refused, or not understood without CDI
    "executable file not found",
    r"Cannot connect to the Docker daemon|failed to connect to the docker API",  # 28; 29
)


def test_each_wrong_request_is_refused_with_its_own_message(page):
    steps = page.evidence("wrong-requests").data["steps"]
    assert [step["exit_code"] for step in steps] == [125, 125, 127, 1]
    for step, message in zip(steps, MESSAGES, strict=True):
        assert re.search(message, step["stdout"])


def test_a_driver_that_is_not_there_is_refused_by_the_engine(page):
    (step,) = page.evidence("wrong-driver").data["steps"]
    assert step["exit_code"] == 125
    assert 'could not select device driver "nope"' in step["stdout"]


def test_a_gpu_that_is_not_there_is_refused(page):
    for step in page.evidence("wrong-gpu-requests").data["steps"]:
        assert step["exit_code"] != 0
        assert re.search(r"unknown device|unresolvable CDI devices", step["stdout"])


def test_the_doctor_that_the_page_names_knows_each_refusal(page):
    texts = pages.printed(page, "wrong-requests")
    causes = [doctor.diagnose(text).problems[0].rule.id for text in texts]
    assert causes == ["runtime-unknown", "cdi-unresolvable", "no-gpu-asked", "no-engine"]


def test_all_steps_of_the_chapter_are_there(page):
    assert set(page.names) == {
        "toolkit-version", "cdi-list", "configure-dry-run", "docker-info", *WORKLOADS,
        "paths-shown", "wrong-requests", "wrong-driver", "wrong-gpu-requests",
    }  # fmt: skip


def test_exercise_2_one_host_has_one_driver_whatever_the_request(page):
    by_host: dict = {}
    for name, version in zip(WORKLOADS, page.solution(2), strict=True):
        assert f"NVIDIA-SMI {version}" in pages.printed(page, name)[0]
        host = page.evidence(name).record["provenance"]["machine"]["name"]
        by_host.setdefault(host, set()).add(version)
    assert all(len(versions) == 1 for versions in by_host.values()), by_host


def test_exercise_3_only_the_newest_pair_does_without_the_hook(page):
    pairs = [
        [engine, toolkit]
        for engine in ("24.0", "28.1", "28.2", "29.2")
        for toolkit in ("1.14", "1.18")
        if {
            injection.expected_path(way, docker=engine, toolkit=toolkit) for way in WAYS.values()
        }.isdisjoint({"legacy", None})
    ]
    assert page.solution(3) == pairs == [["29.2", "1.18"]]


def test_exercise_4_docker_27_reads_cdi_only_when_it_is_switched_on(page):
    def library(way, **settings):
        path = injection.expected_path(way, docker="27.5", toolkit="1.20", **settings)
        return path or "refused"

    assert page.solution(4) == {
        "as typed": library("device"),
        "with features.cdi": library("device", cdi_enabled=True),
        "with --gpus all": library("gpus"),
    }
    assert list(page.solution(4).values()) == ["refused", "engine-cdi", "legacy"]
