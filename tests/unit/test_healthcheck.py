"""The image's health check knows a command that becomes a server from one that never does."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def healthcheck():
    loader = SourceFileLoader("healthcheck", str(ROOT / "docker" / "healthcheck"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "line",
    [
        "tini -g -- entrypoint start",
        "/sbin/docker-init -- tini -g -- entrypoint start-notebook.sh --debug",
        "tini -g -- entrypoint start jupyter lab --no-browser",
        "tini -g -- entrypoint jupyterhub-singleuser",
        "/opt/venv/bin/python /opt/venv/bin/jupyter-lab --port 1",
    ],
)
def test_a_server_counts_as_one_from_its_first_moment_on(healthcheck, line):
    assert healthcheck.is_server(line.encode().split(b" "))


@pytest.mark.parametrize(
    "line",
    ["", "tini -g -- entrypoint mat_mul", "tini -g -- entrypoint start sleep 60",
     "tini -g -- entrypoint jupyter --version", "sleep 60", "bash start", "tini -g -- entrypoint"],
)  # fmt: skip
def test_any_other_command_is_well_while_it_is_alive(healthcheck, line):
    assert not healthcheck.is_server(line.encode().split(b" "))
