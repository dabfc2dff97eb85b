"""The checks after each step of an installation, on made-up machines."""

import pytest

from gpubook import engine
from gpubook.engine import install

DPKG = "docker-ce\t5:29.1.0\tii \nrunc\t1.1.12\trc \ncontainerd\t1.7.24\tii \nnonsense\n"


@pytest.fixture
def dpkg(tmp_path, monkeypatch):
    """A dpkg-query that knows DPKG and, like the real one, ends with 1 for unknown names."""
    command = tmp_path / "bin/dpkg-query"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nprintf '{DPKG}'\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")


def rows(step, **where):
    return [row for row in engine.installation(**where) if row["step"] == step]


def test_a_removed_package_whose_settings_stayed_is_not_installed():
    assert install.parse_dpkg(DPKG) == {"docker-ce": "5:29.1.0", "containerd": "1.7.24"}


def test_a_package_in_the_way_is_named(dpkg):
    (row,) = rows("old packages")
    assert (row["found"], row["ok"]) == ("containerd 1.7.24", False)


def test_each_of_dockers_five_packages_is_told_with_its_version(dpkg):
    found = {row["check"]: (row["found"], row["ok"]) for row in rows("packages")}
    assert found.pop("docker-ce") == ("5:29.1.0", True)
    assert set(found.values()) == {("not installed", False)}
    assert len(found) == 4


def test_without_dpkg_the_packages_do_not_apply(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert {row["ok"] for row in rows("packages") + rows("old packages")} == {None}


@pytest.mark.parametrize("name", ["docker.sources", "docker.list", "third-party.list"])
def test_dockers_repository_is_found_in_either_form_and_under_any_name(tmp_path, name):
    (tmp_path / name).write_text("URIs: https://download.docker.com/linux/ubuntu\n")
    (tmp_path / "ubuntu.sources").write_text("URIs: http://archive.example/ubuntu\n")
    (tmp_path / "docker.list.bak").write_text("https://download.docker.com/linux/ubuntu\n")
    (tmp_path / "key.asc").write_text("-----BEGIN")
    key, source = rows("repository", sources=tmp_path, key=tmp_path / "key.asc")
    assert (source["found"], source["ok"]) == (name, True)
    assert key["ok"] is True


def test_a_machine_without_the_repository_says_so(tmp_path):
    key, source = rows("repository", sources=tmp_path / "none", key=tmp_path / "none.asc")
    assert (key["ok"], source["found"], source["ok"]) == (False, "none", False)


def test_access_tells_a_missing_socket_from_an_unknown_context(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    (row,) = rows("access")
    assert (row["found"], row["ok"]) == (f"no socket at {tmp_path}/no.sock", False)
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "nope")
    (row,) = rows("access")
    assert row["ok"] is False
    assert "'nope'" in row["found"]
