"""`.ci/engine` keeps the client's configuration as private as it found it."""

import os
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace

from tests.conftest import ROOT


def test_a_registrys_password_stays_private(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))  # as a script has its folder there
    loader = SourceFileLoader("ci_engine", str(ROOT / ".ci" / "engine"))
    module = module_from_spec(spec_from_loader("ci_engine", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setitem(__import__("sys").modules, "ci_engine", module)
    loader.exec_module(module)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "theirs" / "config.json").chmod(0o600)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "theirs"))
    former = os.umask(0o022)
    try:
        places = SimpleNamespace(
            run=tmp_path, data=tmp_path, cdi=tmp_path, packages=tmp_path, host="unix:///x"
        )
        module.write_configuration(places, bare=True)
    finally:
        os.umask(former)
    modes = [Path(tmp_path, "client", name).stat().st_mode & 0o777 for name in ("", "config.json")]
    assert modes == [0o700, 0o600]
