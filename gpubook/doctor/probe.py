"""Looking at a machine: facts first, each within a time limit, then the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpubook.doctor import checks, gpu, inside, specs
from gpubook.doctor.facts import Facts, NotRead, collect
from gpubook.doctor.finding import WARNING, Finding
from gpubook.machine.host import Host

Check = Callable[[Facts], Iterator[Finding]]

OF_ENGINE: tuple[Check, ...] = (checks.engine, checks.daemon_json, checks.toolkit, specs.cdi_specs)
ON_HOST: tuple[Check, ...] = (
    checks.system,
    checks.wsl,
    *OF_ENGINE,
    checks.engines,
    gpu.gpu,
    gpu.open_module,
    checks.amd,
    gpu.secure_boot,
    gpu.nodes,
    specs.refresh,
    specs.char_links,
    checks.space,
    checks.limits,
    gpu.generations,
    gpu.torch,
)
IN_CONTAINER: tuple[Check, ...] = (
    checks.system,
    inside.injected,
    gpu.gpu,
    inside.user,
    checks.space,
    checks.limits,
    gpu.torch,
    inside.no_engine,
)


def probe(host: Host | None = None, answers: Mapping[str, Any] | None = None) -> list[Finding]:
    """All findings on this machine, or on the one whose ``answers`` are given. Never raises,
    changes nothing, needs no root; takes at most the host's limit and a moment."""
    host = host or Host()
    facts = Facts(host, collect(host) if answers is None else answers)
    findings = [finding for check in _chosen(facts) for finding in _findings(check, facts)]
    return [*findings, *checks.unread(facts.answers)]


def _chosen(facts: Facts) -> tuple[Check, ...]:
    if not facts.get("system", {"container": False})["container"]:
        return ON_HOST
    engine = facts.get("engine", {"info": {}, "command": None})
    # A container that was given the engine's socket is looked at as both.
    return IN_CONTAINER + OF_ENGINE * bool(engine["info"] or engine["command"])


def _findings(check: Check, facts: Facts) -> Iterator[Finding]:
    try:
        yield from check(facts)
    except NotRead:
        return  # a finding of its own
    except Exception as error:  # noqa: BLE001 - the doctor never fails itself
        name = check.__name__.replace("_", "-")
        what = f"this check did not work: {type(error).__name__}: {error}"
        yield Finding(name, WARNING, what, "please report it with the output of --json")
