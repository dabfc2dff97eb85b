"""Set-up: one clear line when it cannot be done, nothing done twice."""

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import bootstrap as module


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    for name in module.INPUTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "gpubook-setup"))
    return module


def pip_that(bootstrap, script):
    """Put a stand-in for the environment's Python in its place."""
    python = Path(bootstrap.PYTHON)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)


@pytest.mark.parametrize("limit", [("OLDEST", (99, 0)), ("NEWEST", (3, 0))])
def test_a_python_that_the_lock_does_not_hold_for_is_one_line(
    bootstrap, monkeypatch, capsys, limit
):
    monkeypatch.setattr(bootstrap, *limit)
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main()
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"Python \d+\.\d+ to \d+\.\d+ is needed", line)


def test_a_failing_install_is_one_line_after_the_reason(bootstrap, monkeypatch, capfd):
    monkeypatch.setattr(bootstrap, "make_environment", lambda: None)
    pip_that(bootstrap, "echo 'install: pip stopped: No matching distribution' >&2; exit 1")
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main()
    assert stopped.value.code == 1
    reason, line = capfd.readouterr().err.splitlines()
    assert reason == "install: pip stopped: No matching distribution"
    assert line.startswith("set-up: the packages are not installed")
    assert not Path(bootstrap.STAMP).exists()


def test_what_is_set_up_is_not_set_up_again_until_an_input_changes(bootstrap, monkeypatch):
    calls = []
    monkeypatch.setattr(bootstrap, "make_environment", lambda: pip_that(bootstrap, "exit 0"))
    monkeypatch.setattr(bootstrap, "install", lambda: calls.append("install"))
    bootstrap.main()
    bootstrap.main()
    assert calls == ["install"]
    (Path(bootstrap.ROOT) / "requirements" / "setup.txt").write_text("more", encoding="utf-8")
    bootstrap.main()
    assert calls == ["install", "install"]


def test_an_environment_of_the_same_python_is_brought_up_to_date_not_made_anew(
    bootstrap, monkeypatch
):
    assert not bootstrap.is_ours()
    pip_that(
        bootstrap,
        f"exec {sys.executable} -c 'import sys; print(sys.version, \"{bootstrap.VENV}\")'",
    )
    assert bootstrap.is_ours()
    pip_that(bootstrap, f"echo 3.1 {bootstrap.VENV}")
    assert not bootstrap.is_ours()


def test_set_up_and_the_lock_are_for_the_same_pythons(bootstrap):
    text = (ROOT / "tools" / "lock.py").read_text(encoding="utf-8")
    pythons = re.findall(r'"(3\.\d+)"', re.search(r"^PYTHONS = (.*)$", text, re.M)[1])
    assert [pythons[0], pythons[-1]] == [
        "{}.{}".format(*version) for version in (bootstrap.OLDEST, bootstrap.NEWEST)
    ]


def test_the_commands_are_linked_where_the_shell_finds_them_and_over_nobody_elses(
    bootstrap, tmp_path, monkeypatch
):
    folder = tmp_path / "home" / ".local" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"/usr/bin:{folder}")
    (folder / "mat_mul").write_text("somebody else's")
    (folder / "gpubook").symlink_to("/an/older/copy/.venv/bin/gpubook")
    bootstrap.link_commands()
    assert (folder / "gpubook").readlink() == Path(bootstrap.VENV) / "bin" / "gpubook"
    assert (folder / "mat_mul").read_text() == "somebody else's"
    assert (folder / "spam_predict").is_symlink()


def test_without_such_a_folder_one_line_says_what_to_type(bootstrap, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/usr/bin")
    bootstrap.link_commands()
    assert capsys.readouterr().out == "set-up: `. .venv/bin/activate` puts gpubook on your path\n"
