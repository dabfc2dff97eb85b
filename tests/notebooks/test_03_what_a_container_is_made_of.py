"""Page 03: namespaces, cgroup and layers of one container."""

import re

import pytest

from gpubook import machine
from tests.conftest import ROOT
from tests.notebooks.pages import names, outputs, value

NOTEBOOK = "03-what-a-container-is-made-of"
CAPTURES = ROOT / "recordings/h100/captures"
HERE = machine.probe().capabilities
KINDS = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]


def links(page):
    texts = outputs(page.evidence("namespaces"))
    return [dict(line.rstrip("]").split(":[") for line in text.split()) for text in texts]


def test_a_container_has_its_own_namespaces_but_shares_time(page):
    ours, theirs = links(page)
    assert list(ours) == list(theirs) == KINDS
    assert [k for k in ("mnt", "pid", "net", "uts", "ipc") if ours[k] == theirs[k]] == []
    if page.evidence("namespaces").live:  # the recorded host's engine gives a time of its own
        assert ours["time"] == theirs["time"]
    assert page.solution(1) == [kind for kind in KINDS if ours[kind] == theirs[kind]]


def test_shared_on_purpose_are_net_and_pid(page):
    assert {"net", "pid"} >= set(page.solution(4))
    if not HERE["docker"].available or HERE["host"].available:
        assert page.solution(4) == ["net", "pid"]


def test_the_program_is_process_1_inside_and_another_outside(page):
    inside, outside = outputs(page.evidence("two-numbers"))
    pid, name = outside.splitlines()[1].split()
    assert inside.strip() == name == "sleep"
    assert int(pid) > 1


def test_the_limits_in_the_container_are_those_that_were_asked_for(page):
    (text,) = outputs(page.evidence("limits"))
    assert str(256 * 2**20) in text.split()
    v2 = re.search(r"cpu\.max <==\n(\d+) (\d+)", text)
    v1 = [re.search(rf"cpu\.cfs_{x}_us <==\n(\d+)", text) for x in ("quota", "period")]
    quota, period = v2.groups() if v2 else [found[1] for found in v1]
    assert int(quota) / int(period) == 0.5
    assert re.search(r"pids\.max <==\n64\n", text)
    assert page.solution(2) == pytest.approx(1.6)


def test_the_root_is_an_overlay_with_the_images_layers_below(page):
    layers, line = outputs(page.evidence("root-mount"))
    root = names(NOTEBOOK, "overlay")["overlay"](line)
    assert len(root["lower"]) >= int(layers) >= 1
    assert root["upper"].startswith("/")
    assert root["upper"] not in root["lower"]


def test_the_note_is_in_the_top_folder_and_goes_with_the_container(page):
    assert "A /tmp/note" in outputs(page.evidence("changes"))[0].splitlines()
    assert page.evidence("note").data == "hello\n"
    assert page.evidence("after").data == "gone"


# --------------------------------------------------------------- the page's code on other machines


@pytest.mark.parametrize("way", ["no-gpu", "engine-cdi", "jit-cdi", "legacy"])
def test_on_the_h100_host_the_root_is_an_overlay_of_image_layer_and_init_layer(way):
    lines = (CAPTURES / way / "mountinfo").read_text().splitlines()
    (line,) = [line for line in lines if " / / " in line]
    root = names(NOTEBOOK, "overlay")["overlay"](line)
    assert len(root["lower"]) == 2  # the image's one layer, and Docker's own on top of it
    assert root["upper"].startswith("/var/lib/docker/overlay2/")
    assert root["upper"].endswith("/diff")
    assert len(set(root["lower"])) == 2


def test_lower_folders_listed_one_by_one_are_collected():
    line = "1 0 0:1 / / rw - overlay overlay rw,lowerdir+=/a,lowerdir+=/b,upperdir=/u,workdir=/w"
    root = names(NOTEBOOK, "overlay")["overlay"](line)
    assert root == {"lower": ["/a", "/b"], "upper": "/u"}


def test_shared_kinds_are_those_with_equal_numbers(capsys):
    names(NOTEBOOK, "compare", namespaces=["net:[1]\nuser:[5]\n", "net:[2]\nuser:[5]\n"])
    assert capsys.readouterr().out.split() == ["net", "its", "own", "user", "shared"]


@pytest.mark.parametrize(
    "text",
    [
        "==> memory.max <==\n268435456\n\n==> cpu.max <==\n50000 100000\n\n==> pids.max <==\n64\n",
        "==> memory/memory.limit_in_bytes <==\n268435456\n\n==> cpu/cpu.cfs_quota_us <==\n50000\n\n"
        "==> cpu/cpu.cfs_period_us <==\n100000\n\n==> pids/pids.max <==\n64\n",
    ],
    ids=["cgroup v2", "cgroup v1"],
)
def test_the_limits_of_both_cgroup_versions_are_read(text):
    scope = names(NOTEBOOK, "compare", namespaces=["", ""], limits=[text])
    assert value(NOTEBOOK, "solution-2", **scope) == pytest.approx(1.6)
