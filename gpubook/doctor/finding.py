"""One thing that the doctor found out about a machine. Words about trouble are in findings.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gpubook import files
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


@functools.cache
def texts() -> dict[str, Any]:
    """findings.toml."""
    return tomllib.loads(files.packaged("gpubook.doctor", "findings.toml"))


def ok(name: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(name, OK, what)


def say(name: str, /, *more: str, **words: object) -> Finding:
    """What findings.toml has under ``name``, such as ``driver.held``, with its words filled in.

    ``more`` is to be typed after its own commands. Raises KeyError for a word that is missing.
    """
    entry = functools.reduce(dict.__getitem__, name.split("."), texts())
    run = tuple(line.format_map(words) for line in commands([*entry.get("run", ()), *more]))
    what, why = (entry[key].format_map(words) for key in ("what", "why"))
    return Finding(name.split(".")[0], entry["status"], what, why, run)


def commands(lines: Iterable[str]) -> Iterator[str]:
    """Lines to type; one such as ``@restart`` stands for those that findings.toml calls so."""
    for line in lines:
        yield from commands(texts()["commands"][line[1:]]) if line[0] == "@" else [line]


def by_rule(message: str, versions: dict[str, str]) -> Finding:
    """A driver's message that a rule knows: its cause and its fix. Otherwise the message."""
    known = diagnose(message).problems
    if not known:
        return say("driver.unheard", message=message)
    rule = known[0].rule
    run = [line for fix in rule.fix if fix.applies(versions) for line in fix.run]
    what, why = f"{rule.title} ({message})", f"{rule.cause} {rule.matters}"
    return Finding("driver", PROBLEM, what, why, tuple(run))
