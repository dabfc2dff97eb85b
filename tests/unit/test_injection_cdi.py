"""CDI specifications: read, refused by rule, looked over; the stub's re-rooted one."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook import injection
from gpubook.errors import BookError
from gpubook.injection import cdi, own, stub
from tests.conftest import ROOT

# Others use this machine, too: an example may take its time.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

CAPTURES = ROOT / "recordings/h100/captures"
TEXT = (CAPTURES / "cdi-nvidia.yaml").read_text()


def spec(**changes):
    base = {
        "cdiVersion": "0.5.0",
        "kind": "example.com/lamp",
        "devices": [{"name": "red", "containerEdits": {"env": ["A=b"]}}],
    }
    return json.dumps(base | changes)


def edits(**parts):
    return cdi.parse(spec(containerEdits=parts)).edits("red")


def test_the_captured_specification_is_read_whole():
    found = injection.parse_spec(TEXT)
    assert found.kind == "nvidia.com/gpu"
    assert list(found.devices) == ["0", "GPU-00000000-0000-0000-0000-000000000000", "all"]
    total = found.edits("all")
    assert (len(total.mounts), len(total.nodes), len(total.hooks), len(total.env)) == (35, 4, 6, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cdiVersion": "9.9"}, "cdiVersion '9.9' is none of"),
        ({"kind": "lamp"}, "form vendor/class"),
        ({"kind": "example.com/"}, "form vendor/class"),
        ({"kind": "-x/lamp"}, "form vendor/class"),
        ({"devices": []}, "no devices"),
        ({"devices": [{"name": "a b"}]}, "not a device name"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, "there twice"),
        ({"devices": "red"}, "must be a list"),
        ({"containerEdits": {"env": ["X"]}}, "not NAME=VALUE"),
        ({"containerEdits": {"mounts": [{"hostPath": "/x"}]}}, "containerPath is missing"),
        (
            {"containerEdits": {"hooks": [{"hookName": "lunch", "path": "/x"}]}},
            "none of prestart, createRuntime",
        ),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/x", "type": "z"}]}}, "none of c b u p"),
        (
            {"containerEdits": {"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]}},
            "more than r, w and m",
        ),
        ({"containerEdits": {"deviceNodes": [{"path": "/dev/x", "major": "1"}]}}, "whole number"),
    ],
)
def test_a_specification_that_breaks_a_rule_is_refused_by_name(changes, message):
    with pytest.raises(cdi.SpecError, match=message):
        injection.parse_spec(spec(**changes))


@pytest.mark.parametrize("text", ["", "[]", "a: b: c", "\t- x", "!!python/object:os.system {}"])
def test_what_is_no_specification_is_refused(text):
    with pytest.raises(cdi.SpecError):
        injection.parse_spec(text)


@given(st.text())
def test_any_text_as_a_specification_is_read_or_refused(text):
    try:
        injection.parse_spec(text)
    except BookError as problem:
        assert "\n" not in str(problem)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "path", "hookName", "args", "hostPath", "containerPath", "type"]),
        SCALARS | st.lists(SCALARS, max_size=2),
    )
)


@given(
    st.sampled_from(["env", "deviceNodes", "mounts", "hooks"]),
    VALUES | st.lists(VALUES, max_size=3),
)
def test_odd_edits_are_read_or_refused_and_can_be_reviewed(key, value):
    try:
        found = edits(**{key: value})
    except BookError:
        return
    injection.review(found)


def test_an_unknown_device_names_those_that_exist():
    with pytest.raises(cdi.SpecError, match=r"example\.com/lamp=blue: there is red"):
        cdi.parse(spec()).edits("blue")


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (
            {"hooks": [{"hookName": "createContainer", "path": "/tmp/x", "args": ["x"]}]},
            "not one of NVIDIA's hooks",
        ),
        (
            {
                "hooks": [
                    {
                        "hookName": "createContainer",
                        "path": "/usr/bin/nvidia-cdi-hook",
                        "args": [
                            "nvidia-cdi-hook",
                            "create-symlinks",
                            "--link",
                            "../../../x::/a/b",
                        ],
                    }
                ]
            },
            "climbs out",
        ),
        (
            {"mounts": [{"hostPath": "/a/../etc", "containerPath": "/a", "options": ["ro"]}]},
            "climbs out",
        ),
        (
            {"mounts": [{"hostPath": "/a", "containerPath": "/x/../../b", "options": ["ro"]}]},
            "climbs out",
        ),
        ({"mounts": [{"hostPath": "/a", "containerPath": "/a"}]}, "can be written to"),
        (
            {"mounts": [{"hostPath": "/etc", "containerPath": "/a", "options": ["ro"]}]},
            "shows /etc",
        ),
        ({"deviceNodes": [{"path": "/dev/../sda"}]}, "climbs out"),
        ({"deviceNodes": [{"path": "/dev/sda", "type": "b"}]}, "block device"),
    ],
)
def test_what_is_unusual_in_a_specification_is_shown(parts, what):
    assert any(what in finding.what for finding in injection.review(edits(**parts)))


def test_a_link_that_stays_in_its_tree_is_not_suspicious():
    assert cdi._traversal("x", "../libnvidia-allocator.so.1::/usr/lib/gbm/nvidia-drm_gbm.so") == []


@pytest.mark.parametrize("name", ["a", "../gpubook-x", "gpubook-a/../b", "gpubook-a;rm"])
def test_files_of_ours_in_the_engines_folder_carry_our_name(name):
    with pytest.raises(ValueError, match="gpubook-"), own.placed("x", "/etc/cdi", {name: "b"}):
        pass


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "stub"


def test_the_stub_has_the_real_names_with_nothing_in_them(tree):
    made = stub.build(tree, CAPTURES)
    found = cdi.parse(json.dumps(made))
    names = {Path(m.host).name for m in found.edits("all").mounts}
    real = {Path(m.host).name for m in cdi.parse(TEXT).edits("all").mounts}
    assert names == real
    for mount in found.edits("all").mounts:
        path = Path(mount.host)
        assert path.is_relative_to(tree)
        assert path.name == "nvidia-smi" or path.stat().st_size == 0


def test_the_stub_writes_nothing_outside_its_folder(tree, tmp_path):
    text = (CAPTURES / "cdi-nvidia.yaml").read_text(encoding="utf-8")
    for name in ("cdi-nvidia.yaml", "nvidia-smi.txt"):
        shutil.copy(CAPTURES / name, tmp_path / name)
    for path in ("hostPath: /usr/", "path: /usr/"):
        assert path in text
        spoilt = text.replace(path, path + "../../outside/")
        (tmp_path / "cdi-nvidia.yaml").write_text(spoilt, encoding="utf-8")
        with pytest.raises(cdi.SpecError, match="leaves the stub's folder"):
            stub.build(tree, tmp_path)
        assert not tree.exists()
        assert not (tmp_path / "outside").exists()


def test_no_line_of_the_recorded_text_is_a_command(tree, tmp_path):
    shutil.copy(CAPTURES / "cdi-nvidia.yaml", tmp_path)
    said = f"a GPU\nEND\ntouch {tmp_path}/ran\n"
    (tmp_path / "nvidia-smi.txt").write_text(said, encoding="utf-8")
    made = stub.build(tree, tmp_path)
    (smi,) = {
        m["hostPath"] for m in made["containerEdits"]["mounts"] if m["hostPath"].endswith("smi")
    }
    done = subprocess.run([smi], capture_output=True, text=True, check=True)
    assert done.stdout == f"{stub.NOTICE}\n{said}{stub.NOTICE}\n"
    assert not (tmp_path / "ran").exists()


def test_the_stubs_nodes_are_dev_null_under_other_names(tree):
    nodes = cdi.parse(json.dumps(stub.build(tree, CAPTURES))).edits("all").nodes
    null = Path("/dev/null").stat()
    assert len(nodes) == 4
    for node in nodes:
        assert (node.type, node.major, node.minor) == (
            "c",
            os.major(null.st_rdev),
            os.minor(null.st_rdev),
        )


def test_the_stubs_nvidia_smi_prints_the_captured_text_and_says_that_it_is_a_stub(tree):
    stub.build(tree, CAPTURES)
    program = tree / "usr/local/nvidia/bin/nvidia-smi"
    assert program.stat().st_mode & stat.S_IXOTH
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("STUB DRIVER")
    assert said.rstrip().endswith("there is no GPU here")
    assert (CAPTURES / "nvidia-smi.txt").read_text().strip() in said


def bundle(folder):
    (folder / "rootfs").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"root": {"path": "rootfs"}}))
    return json.dumps({"bundle": str(folder)})


def run_hook(tree, state, *words):
    stub.build(tree, CAPTURES)
    program = tree / "usr/bin/nvidia-cdi-hook"
    return subprocess.run([program, *words], input=state, capture_output=True, text=True)


def test_the_stubs_hook_makes_the_links_that_it_is_asked_for(tree, tmp_path):
    state = bundle(tmp_path / "bundle")
    link = "libcuda.so.580.159.04::/usr/lib/libcuda.so.1"
    assert run_hook(tree, state, "create-symlinks", "--link", link).returncode == 0
    made = tmp_path / "bundle/rootfs/usr/lib/libcuda.so.1"
    assert str(made.readlink()) == "libcuda.so.580.159.04"


def test_the_stubs_hook_does_not_leave_the_container(tree, tmp_path):
    state = bundle(tmp_path / "bundle")
    done = run_hook(tree, state, "create-symlinks", "--link", "x::/../../outside/y")
    assert done.returncode != 0
    assert "a link outside the container" in done.stderr
    assert not (tmp_path / "outside").exists()


def test_rerooting_changes_no_path_in_the_container_but_that_of_the_programs():
    before, after = yaml.safe_load(TEXT), stub.rerooted(yaml.safe_load(TEXT), "/tree")
    pairs = zip(before["containerEdits"]["mounts"], after["containerEdits"]["mounts"], strict=True)
    for old, new in pairs:
        assert new["hostPath"] == "/tree" + old["hostPath"]
        folder = Path(old["containerPath"]).parent
        same = new["containerPath"] == old["containerPath"]
        assert same != (str(folder) == "/usr/local/nvidia/bin")
