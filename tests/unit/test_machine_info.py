"""The engine's own account, judged on the captures of the H100 host."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook.machine.endpoint import UnexpectedAnswer
from gpubook.machine.info import has_toolkit, parse_info
from tests.captured import CAPTURES

INFO = json.loads((CAPTURES / "docker-info.json").read_text())

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def test_the_h100_host_in_the_words_of_its_engine():
    assert parse_info(INFO) == {
        "server": "28.5.2+dfsg4",
        "operating_system": INFO["OperatingSystem"],
        "root_dir": "/var/lib/docker",
        "cgroup_driver": "cgroupfs",
        "cgroup_version": "2",
        "runtimes": ["io.containerd.runc.v2", "nvidia", "runc"],
        "cdi": {
            "directories": ["/etc/cdi", "/var/run/cdi"],
            "devices": [
                "nvidia.com/gpu=0",
                "nvidia.com/gpu=GPU-00000000-0000-0000-0000-000000000000",
                "nvidia.com/gpu=all",
            ],
        },
        "rootless": False,
    }


def test_a_rootless_engine_is_recognised():
    assert parse_info(INFO | {"SecurityOptions": ["name=rootless"]})["rootless"] is True


def test_a_device_that_is_none_of_cdis_is_left_out():
    others = [{"Source": "other", "ID": "a"}, {"Source": "cdi", "ID": "b"}, {"Source": "cdi"}, 5]
    assert parse_info(INFO | {"DiscoveredDevices": others})["cdi"]["devices"] == ["b"]


def test_an_engine_without_cdi_has_no_folders_and_no_devices():
    old = {k: v for k, v in INFO.items() if k not in ("CDISpecDirs", "DiscoveredDevices")}
    assert parse_info(old)["cdi"] == {"directories": [], "devices": []}


BOTH = "Runtimes DiscoveredDevices"


@pytest.mark.parametrize(
    ("missing", "known"),
    [("", True), ("Runtimes", True), ("DiscoveredDevices", True), (BOTH, False)],
)
def test_an_engine_shows_the_toolkit_by_its_runtime_or_its_devices(missing, known):
    fewer = {k: v for k, v in INFO.items() if k not in missing.split()}
    assert has_toolkit(parse_info(fewer)) is known


SHAPE = set(parse_info(INFO))


@given(JSON)
def test_any_json_is_parsed_or_refused_in_one_line(document):
    try:
        assert set(parse_info(document)) == SHAPE
    except UnexpectedAnswer as error:
        assert "\n" not in str(error)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(INFO)), JSON, max_size=8))
def test_an_info_with_damaged_parts_keeps_its_shape_or_is_refused(damage):
    try:
        parsed = parse_info(INFO | damage)
    except UnexpectedAnswer:
        assert "ServerVersion" in damage
        return
    assert set(parsed) == SHAPE
    json.dumps(parsed, allow_nan=False)
