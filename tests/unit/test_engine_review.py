"""The engine's own account, judged on the captures of the H100 host."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook import engine
from gpubook.engine import captures as converters
from gpubook.engine import review

CAPTURES = Path(__file__).parents[2] / "recordings/h100/captures"
INFO = json.loads((CAPTURES / "docker-info.json").read_text())
VERSION = json.loads((CAPTURES / "docker-version.json").read_text())

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def info():
    return converters.docker_info(CAPTURES)


def test_the_h100_host_knows_exactly_these_runtimes(info):
    assert [r["name"] for r in info["runtimes"]] == ["io.containerd.runc.v2", "nvidia", "runc"]
    assert info["default_runtime"] == "runc"


def test_only_the_nvidia_runtime_has_a_binary_of_its_own_and_all_end_in_runc_1_3_6(info):
    paths = {r["name"]: r["path"] for r in info["runtimes"]}
    assert paths.pop("nvidia") == "/usr/bin/nvidia-container-runtime"
    assert set(paths.values()) == {"runc"}
    assert {engine.release(r["runc_version"]) for r in info["runtimes"]} == {"1.3.6"}
    assert {r["oci_versions"] for r in info["runtimes"]} == {"1.0.0 to 1.2.1"}


def test_the_h100_hosts_drivers(info):
    assert (info["cgroup_version"], info["cgroup_driver"]) == ("2", "cgroupfs")
    assert (info["storage_driver"], info["image_store"]) == ("overlay2", "classic")
    assert (info["backing_filesystem"], info["logging_driver"]) == ("extfs", "json-file")
    assert info["security"] == ["seccomp", "cgroupns"]
    assert info["rootless"] is False


def test_the_h100_hosts_size_is_in_bytes(info):
    assert info["cpus"] == 16
    assert f"{info['memory_bytes'] / 2**30:.1f}" == "125.9"  # GiB, as its own `docker info` prints


def test_the_engine_offers_the_gpu_as_cdi_devices(info):
    assert info["cdi"]["directories"] == ["/etc/cdi", "/var/run/cdi"]
    assert info["cdi"]["devices"] == [
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=GPU-00000000-0000-0000-0000-000000000000",
        "nvidia.com/gpu=all",
    ]


def test_versions_of_the_four_programs():
    version = engine.parse_version(VERSION)
    releases = {c["name"]: c["release"] for c in version["components"]}
    assert releases == {
        "Engine": "28.5.2",
        "containerd": "2.1.9",
        "runc": "1.3.6",
        "docker-init": "0.19.0",
    }
    assert (version["api"], version["min_api"]) == ("1.51", "1.24")
    assert engine.release(version["client"]) == "28.5.2"


def test_the_apis_answer_and_the_commands_answer_give_the_same():
    of_api = engine.parse_version(VERSION["Server"])  # what the SDK returns: no client in it
    assert of_api["client"] is None
    assert of_api | {"client": VERSION["Client"]["Version"]} == engine.parse_version(VERSION)


def test_a_containerd_image_store_is_recognised():
    status = [["driver-type", "io.containerd.snapshotter.v1"]]
    parsed = engine.parse_info(INFO | {"Driver": "overlayfs", "DriverStatus": status})
    assert (parsed["storage_driver"], parsed["image_store"]) == ("overlayfs", "containerd")


def test_a_rootless_engine_is_recognised():
    assert engine.parse_info(INFO | {"SecurityOptions": ["name=rootless"]})["rootless"] is True


def test_an_engine_without_cdi_has_no_folders_and_no_devices():
    old = {k: v for k, v in INFO.items() if k not in ("CDISpecDirs", "DiscoveredDevices")}
    assert engine.parse_info(old)["cdi"] == {"directories": [], "devices": []}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.3.6+ds1-1", "1.3.6"), ("v2.1.0-rc.1", "2.1.0"), ("26.1.5", "26.1.5"), ("", ""), ("x", "")],
)
def test_a_release_is_the_upstream_part_of_a_version(version, expected):
    assert engine.release(version) == expected


def test_daemon_json_of_the_h100_host_adds_the_nvidia_runtime_and_cdi():
    config = engine.parse_daemon_config((CAPTURES / "daemon.json").read_text())["config"]
    assert config["runtimes"]["nvidia"]["path"] == "/usr/bin/nvidia-container-runtime"
    assert config["features"] == {"cdi": True}


def test_a_broken_daemon_json_is_told_with_its_line():
    with pytest.raises(engine.UnexpectedAnswer, match=r"daemon\.json is not JSON, line 2"):
        engine.parse_daemon_config('{"a": 1,\n "b" 2}')


def test_a_daemon_json_that_is_no_object_is_refused():
    with pytest.raises(engine.UnexpectedAnswer, match="no JSON object"):
        engine.parse_daemon_config("[]")


def test_no_daemon_json_is_no_error(tmp_path):
    found = engine.daemon_config(tmp_path / "daemon.json")
    assert (found["exists"], found["config"]) == (False, {})
    assert "runs on its defaults" in found["why"]


def test_an_empty_daemon_json_is_an_empty_configuration(tmp_path):
    (tmp_path / "daemon.json").write_text("\n")
    assert engine.daemon_config(tmp_path / "daemon.json")["config"] == {}


def test_dockerds_command_line_says_which_configuration_it_reads(monkeypatch):
    args = ["/usr/bin/dockerd", "--config-file=/srv/d.json"]
    process = {"pid": 7, "ppid": 1, "name": "dockerd", "args": args, "defunct": False}
    monkeypatch.setattr(review, "read_processes", lambda: [process])
    monkeypatch.setattr(review, "daemon_pid", lambda: None)
    assert engine.daemon_config()["path"] == "/srv/d.json"


def test_a_rootless_engine_is_configured_in_the_users_own_folder(monkeypatch):
    monkeypatch.setattr(review, "read_processes", list)
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/4242424/docker.sock")
    assert engine.daemon_config()["path"].endswith("/.config/docker/daemon.json")
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert engine.daemon_config()["path"] == "/etc/docker/daemon.json"


SHAPE = set(engine.parse_info(INFO))


@given(JSON)
def test_any_json_is_parsed_or_refused_in_one_line(document):
    for parse in (engine.parse_info, engine.parse_version):
        try:
            assert isinstance(parse(document), dict)
        except engine.UnexpectedAnswer as error:
            assert "\n" not in str(error)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(INFO)), JSON, max_size=8))
def test_an_info_with_damaged_parts_keeps_its_shape_or_is_refused(damage):
    try:
        parsed = engine.parse_info(INFO | damage)
    except engine.UnexpectedAnswer:
        assert {"ServerVersion", "Driver"} & set(damage)
        return
    assert set(parsed) == SHAPE
    assert all(isinstance(r["path"], str) for r in parsed["runtimes"])
    json.dumps(parsed, allow_nan=False)


@given(st.text())
def test_any_text_as_daemon_json_is_parsed_or_refused_in_one_line(text):
    try:
        assert isinstance(engine.parse_daemon_config(text)["config"], dict)
    except engine.UnexpectedAnswer as error:
        assert "\n" not in str(error)
