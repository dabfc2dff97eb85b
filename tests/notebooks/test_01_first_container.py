"""Page 01: the first container, and what the engine says of itself."""

import json
import re
import sys
import types

from gpubook.machine.info import parse_info
from tests.conftest import ROOT
from tests.notebooks.pages import names, outputs, source, value
from tools import import_captures

NOTEBOOK = "01-first-container"
CAPTURES = ROOT / "recordings/h100/captures"


def test_a_container_printed_what_it_was_asked_to(page):
    (step,) = page.evidence("hello").data["steps"]
    assert (step["exit_code"], step["stdout"]) == (0, "a process in a container\n")
    assert step["command"].startswith("docker run --rm ")


def test_inside_and_outside_have_one_kernel(page):
    kernels = [text.splitlines()[-1] for text in outputs(page.evidence("systems"))]
    assert (
        kernels[0]
        == kernels[1]
        == page.evidence("systems").record["provenance"]["machine"]["kernel"]
    )


def test_the_terminals_info_and_the_sdks_are_of_one_engine(page):
    (text,) = outputs(page.evidence("docker-info"))
    settings = page.evidence("settings").data
    assert f"Storage Driver: {settings['Storage driver']}\n" in text
    assert f"Docker Root Dir: {settings['Images and containers in']}\n" in text
    assert f"Cgroup Driver: {settings['cgroup driver']}\n" in text
    assert f"Cgroup Version: {settings['cgroup version']}\n" in text
    listed = re.search(r"Runtimes: (.*)", text)[1].split()
    assert sorted(listed) == settings["Runtimes"].split(", ")


def test_the_version_names_the_engine_of_info_containerd_and_runc(page):
    (text,) = outputs(page.evidence("docker-version"))
    server = text.partition("Server:")[2]
    assert re.search(r"containerd:\n +Version: ", server)
    assert re.search(r"runc:\n +Version: ", server)
    of_one = [
        page.evidence(name).record["provenance"] for name in ("docker-version", "docker-info")
    ]
    if of_one[0]["machine"]["name"] == of_one[1]["machine"]["name"]:
        version = re.search(r"Server Version: (\S+)", outputs(page.evidence("docker-info"))[0])[1]
        assert re.search(rf"Version: +{re.escape(version)}\n", server)


def test_daemon_json_names_runtimes_that_info_lists(page):
    (text,) = outputs(page.evidence("daemon-json"))
    if "no file: the defaults hold" in text:
        return
    configured = json.loads(text).get("runtimes", {})
    assert set(configured) <= set(page.evidence("settings").data["Runtimes"].split(", "))


def test_client_and_engine_speak_the_older_of_their_versions(page):
    (text,) = outputs(page.evidence("docker-version"))
    answer = page.solution(1)
    newest = re.search(r"Engine:.*?API version: +([\d.]+) \(minimum version ([\d.]+)\)", text, re.S)
    as_numbers = [tuple(map(int, v.split("."))) for v in (newest[2], answer["spoken"], newest[1])]
    assert as_numbers == sorted(as_numbers)
    assert answer["oldest"] == newest[2]


# ------------------------------------------------------- the page's code, the library, the captures


def test_the_pages_own_cell_reads_the_h100_hosts_info_as_its_recording_has_it(monkeypatch):
    """The cell's code against the captured answer: a renamed key turns this red."""
    info = json.loads((CAPTURES / "docker-info.json").read_text())
    client = types.SimpleNamespace(info=lambda: info)
    docker = types.SimpleNamespace(from_env=lambda: client)
    monkeypatch.setitem(sys.modules, "docker", docker)
    settings = value(NOTEBOOK, "settings")
    assert settings == import_captures.settings(CAPTURES)
    library = parse_info(info)
    assert settings["Runtimes"] == ", ".join(library["runtimes"])
    assert settings["Folders for CDI"] == ", ".join(library["cdi"]["directories"])
    assert settings["cgroup version"] == library["cgroup_version"]


def test_the_captured_daemon_json_is_shown_under_the_pages_own_command():
    (row,) = [row for row in import_captures.CONVERTERS if row.name == "daemon-json"]
    (step,) = row.convert(CAPTURES)["steps"]
    assert step["command"] == source(NOTEBOOK, "daemon-json").strip()


def test_two_kernels_are_told_apart():
    one = ["NOTEBOOK\n6.8.0\n", "NOTEBOOK\n6.8.0\n"]
    two = ["NOTEBOOK\n6.8.0\n", "NOTEBOOK\n6.1.0\n"]
    assert names(NOTEBOOK, "same-kernel", systems=one)["same"] == "this machine's"
    assert names(NOTEBOOK, "same-kernel", systems=two)["same"] == "its own"


def test_each_way_of_asking_for_a_gpu_was_started_often_enough_for_quantiles(page):
    rows = page.evidence("gpu-starts").data
    assert [row["request"] for row in rows] == [
        "no GPU", "--device nvidia.com/gpu=all", "--gpus all", "--runtime=nvidia"
    ]  # fmt: skip
    for row in rows:
        assert 0 < row["p10_s"] <= row["median_s"] <= row["p90_s"]
