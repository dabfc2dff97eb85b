"""Every notebook of the book: listed, executed, and not in no time."""

import json
import re

import pytest
import yaml

from gpubook import machine
from tests.conftest import NOTEBOOKS, ROOT


def test_every_notebook_is_a_page_of_the_book_and_every_page_is_there():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

    def files(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in {"file", "root"}:
                    yield value
                else:
                    yield from files(value)
        elif isinstance(node, list):
            for item in node:
                yield from files(item)

    listed = [name.removesuffix(".ipynb") for name in files(toc)]
    assert [n for n in listed if n.startswith("notebooks/")] == [
        f"notebooks/{name}" for name in NOTEBOOKS
    ]
    for name in listed:
        assert list(ROOT.glob(f"{name}.*")), f"_toc.yml lists {name}, which is not there"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_was_executed_and_took_time(executed, name):
    page = json.loads((executed / "executed" / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = [c for c in page["cells"] if c["cell_type"] == "code" and c["source"]]
    assert all(cell["execution_count"] for cell in code)
    result = json.loads((executed / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert [cell["id"] for cell in result["cells"]] == [cell["id"] for cell in code]
    assert sum(cell["end"] - cell["start"] for cell in result["cells"]) > 0.01
    assert result["evidences"], "a page without evidence shows nothing that was measured"


NEEDS = {
    "01-first-container": {
        "docker": "hello starts docker-version docker-info settings exercise-3 exercise-4",
        "docker,host": "systems daemon-json",
        "docker,gpu,toolkit": "gpu-starts",
    },
    "02-behind-docker-run": {
        "docker": "exercise-3",
        "docker,host": "start chain daemons runc-life end",
        "docker,host,root": "oci-spec exercise-4",
    },
    "03-what-a-container-is-made-of": {
        "docker": "start namespaces two-numbers limits stats root-mount changes removal "
        "exercise-3 exercise-4",
        "docker,host,root": "note after",
    },
    "04-your-first-image": {
        "docker": "build first-run history rebuild background stop ended volume exercise-3 "
        "exercise-4",
        "docker,host": "mount",
    },
    "05-nvidia-container-toolkit": {
        "docker": "wrong-requests wrong-driver",
        "toolkit": "toolkit-version cdi-list configure-dry-run",
        "docker,toolkit": "docker-info",
        "docker,gpu": "workload-device",
        "docker,gpu,toolkit": "workload-gpus workload-runtime paths-shown wrong-gpu-requests",
    },
    "06-inside-a-gpu-container": {
        "docker": "plain exercise-3",
        "docker,gpu": "riddle-device names",
        "docker,gpu,toolkit": "riddle-gpus looks",
        "docker,gpu,host,root,toolkit": "specs",
    },
    "07-a-device-of-your-own": {
        "docker,host,root": "lamp-files lamp lamp-removed lamp-gone exercise-3 exercise-4",
        "docker,gpu,host,root,toolkit": "parts",
        "gpu,toolkit": "specification",
    },
    "08-matmul": {
        "": "one-product float64-check naive-cpu products-cpu command",
        "gpu": "no-wait naive-gpu formats products",
        "docker,gpu,image,toolkit": "in-a-container",
    },
    "09-roofline": {"": "copy sweep bounds", "gpu": "roofline-gpu"},
    "10-spam-data": {"": "data split baseline"},
    "11-fine-tune-bert": {
        "": "padding training watch judged saved",
        "gpu": "nvidia-smi-training",
    },
    "12-what-makes-it-fast": {"": "ladder", "gpu": "graph"},
    "13-predict-and-clean-up": {
        "": "model-folder no-message two-messages seen-before unseen test mistakes thresholds "
        "attacks speed",
        "docker": "clean-up",
    },
    "14-beyond-one-machine": {
        "": "script",
        "slurm": "short-bert one-machine nodes submit requeue log accounting scores exercise-3 "
        "exercise-4",
    },
}
"""What each page shows, by what a machine must have to measure it."""


@pytest.mark.parametrize("name", NEEDS)
def test_a_page_shows_what_is_listed_and_needs_no_more_for_it(results, name):
    records = [item["record"] for item in results(name).result["evidences"]]
    needs = {record["name"]: ",".join(record["needs"]) for record in records}
    assert needs == {n: need for need, names in NEEDS[name].items() for n in names.split()}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nothing_is_replayed_that_this_machine_could_measure(results, name):
    here = machine.probe()
    for item in results(name).result["evidences"]:
        missing = here.missing(item["record"]["needs"])
        expected = "recorded" if missing else "live"
        assert item["mode"] == expected, item["record"]["name"]
        if item["mode"] == "recorded":
            assert item["why"]
            assert not set(missing) & machine.required()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_pages_banner_says_what_its_results_say(results, executed, name):
    text = (executed / "executed" / f"{name}.ipynb").read_text(encoding="utf-8")
    for item in results(name).result["evidences"]:
        evidence = item["record"]["name"]
        if re.fullmatch(r"exercise-\d+", evidence):  # a solution's last line says it
            assert f"{evidence} ({item['mode']}: " in text
            continue
        kind = "stub" if item["record"]["provenance"]["stub"] else item["mode"]
        marker = f"gb-evidence gb-{kind}"
        label = f'gb-evidence-name\\">{item["record"]["name"]}<'
        assert any(
            marker in part and label in part for part in text.replace("\\\\", "\\").split("<div ")
        ), f"no {kind} banner for {item['record']['name']}"
