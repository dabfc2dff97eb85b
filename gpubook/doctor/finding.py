"""One thing that the doctor found out about a machine."""

from __future__ import annotations

from dataclasses import dataclass

from gpubook.doctor.diagnose import diagnose

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """``what`` was seen, ``why`` it matters, what to type. A problem stops something now; a
    warning will, or stops something that not everybody needs."""

    id: str
    status: str
    what: str
    why: str = ""
    run: tuple[str, ...] = ()


def ok(name: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(name, OK, what)


def warning(name: str, what: str, why: str, *run: str) -> Finding:
    """Something to know, with what to type."""
    return Finding(name, WARNING, what, why, run)


def problem(name: str, what: str, why: str, *run: str) -> Finding:
    """Something to fix, with what to type."""
    return Finding(name, PROBLEM, what, why, run)


def by_rule(name: str, message: str, versions: dict[str, str]) -> Finding:
    """A problem whose message a rule knows: its cause and its fix. Otherwise the message."""
    known = diagnose(message).problems
    if not known:
        return problem(name, message, "nothing is known here of this message", "sudo dmesg | tail")
    rule = known[0].rule
    run = [line for fix in rule.fix if fix.applies(versions) for line in fix.run]
    return problem(name, f"{rule.title} ({message})", f"{rule.cause} {rule.matters}", *run)
