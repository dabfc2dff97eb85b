"""CDI specifications: read, refused by rule, looked over; the stub's re-rooted one."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook import injection
from gpubook.errors import BookError
from gpubook.injection import cdi
from tests.captured import CAPTURES
from tests.docker import stub

# Others use this machine, too: an example may take its time.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

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
        ({"cdiVersion": "9.9"}, "cdiVersion must be one of"),
        ({"kind": "lamp"}, "kind must match"),
        ({"kind": "example.com/"}, "kind must match"),
        ({"kind": "-x/lamp\\n"}, "kind must match"),
        ({"devices": []}, "devices must contain at least 1"),
        ({"devices": [{"name": "a b"}]}, r"devices\[0\].name must match"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, "there twice"),
        ({"devices": "red"}, "devices must be array"),
        ({"containerEdits": {"env": ["X"]}}, r"env\[0\] must match"),
        ({"containerEdits": {"mounts": [{"hostPath": "/x"}]}}, "containerPath"),
        (
            {"containerEdits": {"hooks": [{"hookName": "lunch", "path": "/x"}]}},
            "hookName must be one of",
        ),
        (
            {"containerEdits": {"deviceNodes": [{"path": "/dev/x", "type": "z"}]}},
            "type must be one of",
        ),
        (
            {"containerEdits": {"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]}},
            "permissions must match",
        ),
        (
            {"containerEdits": {"deviceNodes": [{"path": "/dev/x", "major": "1"}]}},
            "major must be integer",
        ),
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


@pytest.mark.parametrize(
    ("text", "climbs"),
    [
        ("../libnvidia-allocator.so.1::/usr/lib/gbm/nvidia-drm_gbm.so", False),
        ("/usr/lib/x.so::/usr/lib/y.so", False),
        ("../../../x.so::/usr/lib/y.so", True),
        ("/usr/../etc/x::/usr/lib/y.so", True),
        ("x.so::/usr/../etc/y", True),
        ("x.so::../y", True),
    ],
)
def test_a_link_may_climb_within_its_tree_only(text, climbs):
    assert cdi._climbs(text) is climbs


# The stub driver of the tests with an engine


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = tmp_path_factory.mktemp("stub")
    return tree, cdi.parse(json.dumps(stub.build(tree))).edits("all")


def test_the_stub_has_the_real_names_with_nothing_in_them_and_dev_null_for_nodes(tree):
    folder, edits = tree
    real = cdi.parse(TEXT).edits("all")
    assert {Path(m.host).name for m in edits.mounts} == {Path(m.host).name for m in real.mounts}
    for mount in edits.mounts:
        path = Path(mount.host)
        assert path.is_relative_to(folder)
        assert path.name == "nvidia-smi" or path.stat().st_size == 0
    assert [n.path for n in edits.nodes] == [n.path for n in real.nodes]
    null = Path("/dev/null").stat().st_rdev
    assert {(n.major, n.minor) for n in edits.nodes} == {(os.major(null), os.minor(null))}
    for old, new in zip(real.mounts, edits.mounts, strict=True):
        same = new.container == old.container
        assert same != (str(Path(old.container).parent) == "/usr/local/nvidia/bin")


def test_the_stubs_nvidia_smi_prints_the_captured_text_and_says_that_it_is_a_stub(tree):
    program = tree[0] / "usr/local/nvidia/bin/nvidia-smi"
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    text = (CAPTURES / "nvidia-smi.txt").read_text().rstrip()
    assert said == f"{stub.NOTICE}\n{text}\n{stub.NOTICE}\n"


def test_the_stubs_hook_makes_the_links_that_it_is_asked_for(tree, tmp_path):
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"root": {"path": "rootfs"}}))
    link = ["create-symlinks", "--link", "libcuda.so.580.159.04::/usr/lib/libcuda.so.1"]
    state = json.dumps({"bundle": str(tmp_path)})
    subprocess.run([tree[0] / "usr/bin/nvidia-cdi-hook", *link], input=state, text=True, check=True)
    made = tmp_path / "rootfs/usr/lib/libcuda.so.1"
    assert str(made.readlink()) == "libcuda.so.580.159.04"
