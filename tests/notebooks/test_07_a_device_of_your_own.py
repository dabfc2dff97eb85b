"""Page 07's results: the GPU's specification, the reader's own device, what a refusal says."""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
import yaml

from gpubook import injection
from gpubook.injection.cdi import SpecError
from gpubook.injection.classes import known_hook, known_path
from gpubook.machine import info
from tests.captured import CAPTURES, observation
from tests.notebooks import pages

NOTEBOOK = "07-a-device-of-your-own"


@pytest.fixture
def edits(page):
    spec = injection.parse_spec(page.evidence("specification").data)
    assert spec.kind == "nvidia.com/gpu"
    return spec.edits("all")


def test_the_specification_is_fully_known_and_unsuspicious(edits):
    assert all(known_path(node.path) for node in edits.nodes)
    assert all(known_path(mount.container) for mount in edits.mounts)
    assert all(known_hook(hook.path, hook.args) for hook in edits.hooks)
    assert injection.review(edits) == []


def test_the_page_counts_what_the_library_reads(page, edits, capsys):
    text = page.evidence("specification").data
    names = pages.names(NOTEBOOK, "count", specification=text)
    total = Counter()
    for part in (names["spec"], names["spec"]["devices"][-1]):
        total.update({edit: len(list_) for edit, list_ in part["containerEdits"].items()})
    assert total == {
        "env": len(edits.env),
        "deviceNodes": len(edits.nodes),
        "mounts": len(edits.mounts),
        "hooks": len(edits.hooks),
    }
    assert f"'mounts': {len(edits.mounts)}" in capsys.readouterr().out


def test_the_captured_container_got_all_that_its_specification_says():
    edits = injection.parse_spec((CAPTURES / "cdi-nvidia.yaml").read_text()).edits("all")
    seen = observation("engine-cdi")
    assert {m.container for m in edits.mounts} <= {m.target for m in seen.mounts}
    assert {n.path for n in edits.nodes} <= {d.path for d in seen.devices}
    assert set(edits.env) <= {f"{name}={value}" for name, value in seen.env.items()}
    assert [h.args for h in edits.hooks] == [h.args for h in seen.oci.hooks]


def test_the_readers_own_device_arrived_whole(page):
    manual, colour, node, zeros = pages.printed(page, "lamp")
    assert manual == "Plug in. Switch on.\n"
    assert colour == "red\n"
    assert re.match(r"c\S+ .* 1, +5 .* /dev/lamp$", node.strip())
    assert zeros.split() == ["00"] * 4


def test_the_lamp_follows_the_format(page):
    command = page.evidence("lamp-files").data["steps"][-1]["command"]
    text = command.partition("\n")[2].removesuffix("\nEND")
    edits = injection.parse_spec(text).edits("red")
    assert edits.env == ("LAMP_COLOUR=red",)
    assert [(n.path, n.major, n.minor) for n in edits.nodes] == [("/dev/lamp", 1, 5)]
    (device,) = yaml.safe_load(text)["devices"]
    assert [n["permissions"] for n in device["containerEdits"]["deviceNodes"]] == ["r"]
    assert injection.review(edits) == []


def test_nothing_of_the_lamp_is_left(page):
    (step,) = page.evidence("lamp-gone").data["steps"]
    assert step["exit_code"] == 125
    assert "unresolvable CDI devices example.com/lamp=red" in step["stdout"]
    if page.evidence("lamp").live:
        for folder in info.info()["cdi"]["directories"]:
            assert not list(Path(folder).glob("gpubook-lamp*"))


def test_the_review_names_all_that_is_wrong_with_the_bad_one():
    text = pages.names(NOTEBOOK, "suspicious")["SUSPICIOUS"]
    found = injection.review(injection.parse_spec(text).edits("all"))
    assert [(f.where.split()[0], f.what.split()[0]) for f in found] == [
        ("hook", "is"), ("mount", "climbs"), ("mount", "shows"), ("mount", "can"),
    ]  # fmt: skip


def test_exercise_2_the_folders_hold_all_mounts_and_none_is_writable(page, edits):
    answer = dict(page.solution(2))
    assert answer.pop("writable") == 0
    assert answer == Counter(str(PurePosixPath(m.host).parent) for m in edits.mounts)


def test_exercise_4_a_broken_file_looks_like_a_device_that_is_not_there(page):
    assert "unresolvable CDI devices example.com/lamp=red" in page.solution(4)
    source = pages.source(NOTEBOOK, "solution-4")
    odd = {"cdiVersion": "0.5.0", "kind": "example.com/lamp"}
    hook = {"hookName": "beforeLunch", "path": "/bin/true"}
    odd["devices"] = [{"name": "red", "containerEdits": {"hooks": [hook]}}]
    assert "beforeLunch" in source
    with pytest.raises(SpecError, match=r"createContainer.*poststop"):
        injection.parse_spec(yaml.safe_dump(odd))
