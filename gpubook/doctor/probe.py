"""Looking at a machine: facts first, each within a time limit, then the checks."""

from __future__ import annotations

from gpubook.doctor.checks import OF_ENGINE, ON_HOST, unread, usable
from gpubook.doctor.facts import Host, collect
from gpubook.doctor.finding import Finding, warning
from gpubook.doctor.inside import IN_CONTAINER


def _has_docker(facts: dict) -> bool:
    engine = facts["engine"]
    return usable(engine) and bool(engine.get("info") or engine["command"])


def probe(host: Host | None = None, facts: dict | None = None) -> list[Finding]:
    """All findings on this machine, or on the one whose ``facts`` are given. Never raises, changes
    nothing, needs no root; takes at most the host's limit and a moment."""
    host = host or Host()
    facts = collect(host) if facts is None else facts
    inside = usable(facts["system"]) and facts["system"]["container"]
    checks = IN_CONTAINER if inside else ON_HOST
    if inside and _has_docker(facts):  # a container that was given the engine's socket
        checks = (*checks, *OF_ENGINE)
    findings = []
    for check, needs in checks:
        if not all(usable(facts[name]) for name in needs):
            continue
        try:
            findings += check(facts, host)
        except Exception as error:  # noqa: BLE001 - the doctor never fails itself
            name = check.__name__.replace("_", "-")
            what = f"this check did not work: {type(error).__name__}: {error}"
            findings.append(warning(name, what, "please report it with the output of --json"))
    return [*findings, *unread(facts)]
