"""dockerd's configuration file: where it is, and what is wrong with it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubook import engine
from gpubook.engine import daemon
from gpubook.machine.endpoint import UnexpectedAnswer
from tests.captured import CAPTURES


def test_daemon_json_of_the_h100_host_adds_the_nvidia_runtime_and_cdi():
    config = engine.parse_daemon_config((CAPTURES / "daemon.json").read_text())["config"]
    assert config["runtimes"]["nvidia"]["path"] == "/usr/bin/nvidia-container-runtime"
    assert config["features"] == {"cdi": True}


def test_a_broken_daemon_json_is_told_with_its_line():
    with pytest.raises(UnexpectedAnswer, match=r"daemon\.json is not JSON, line 2"):
        engine.parse_daemon_config('{"a": 1,\n "b" 2}')


def test_a_daemon_json_that_is_no_object_is_refused():
    with pytest.raises(UnexpectedAnswer, match="no JSON object"):
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
    other = ["/usr/bin/dockerd", "--config-file", "/srv/other.json"]
    infos = {7: {"name": "dockerd", "cmdline": args}, 8: {"name": "dockerd", "cmdline": other}}
    processes = [SimpleNamespace(pid=pid, info=info) for pid, info in infos.items()]
    monkeypatch.setattr("psutil.process_iter", lambda names: processes)
    monkeypatch.setattr(daemon, "daemon_pid", lambda: None)
    assert engine.daemon_config()["path"] == "/srv/d.json"
    monkeypatch.setattr(daemon, "daemon_pid", lambda: 8)  # which listens at our socket
    assert engine.daemon_config()["path"] == "/srv/other.json"


def test_a_rootless_engine_is_configured_in_the_users_own_folder(monkeypatch):
    monkeypatch.setattr("psutil.process_iter", lambda names: [])
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/4242424/docker.sock")
    assert engine.daemon_config()["path"].endswith("/.config/docker/daemon.json")
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert engine.daemon_config()["path"] == "/etc/docker/daemon.json"


@given(st.text())
def test_any_text_as_daemon_json_is_parsed_or_refused_in_one_line(text):
    try:
        assert isinstance(engine.parse_daemon_config(text)["config"], dict)
    except UnexpectedAnswer as error:
        assert "\n" not in str(error)
