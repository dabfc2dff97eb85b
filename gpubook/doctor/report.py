"""What the doctor says: as text for people, as JSON for tools."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from gpubook.doctor.diagnose import Diagnosis, Problem
from gpubook.doctor.finding import PROBLEM, WARNING, Finding
from gpubook.doctor.rules import Fix

SCHEMA = "gpubook.doctor/1"
_WIDTH = 100
_WORDS = {"engine": "Docker", "toolkit": "toolkit"}


def in_words(when: str) -> str:
    """``"engine>=25 engine<28.2"`` as ``"Docker 25 or later, before 28.2"``."""
    words: list[str] = []
    last = ""
    for word in when.split():
        for sign, form in ((">=", "{} {} or later"), ("<", "{} before {}")):
            name, condition, version = word.partition(sign)
            if condition:
                program = "" if name == last else _WORDS[name]
                words.append(form.format(program, version).strip())
                last = name
                break
        else:
            words.append({"rootless": "a rootless engine"}.get(word, word.capitalize()))
    return ", ".join(words)


def _wrapped(text: str, indent: str, first: str | None = None) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def machine_text(findings: Sequence[Finding]) -> str:
    """The findings on a machine, problems first."""
    order = {PROBLEM: 0, WARNING: 1}
    lines = []
    for finding in sorted(findings, key=lambda f: order.get(f.status, 2)):
        lines.append(_wrapped(finding.what, " " * 10, f"{finding.status:<8}  "))
        if finding.why:
            lines.append(_wrapped(finding.why, " " * 15, "          why: "))
        lines += [f"          $ {command}" for command in finding.run]
    problems = sum(f.status == PROBLEM for f in findings)
    warnings = sum(f.status == WARNING for f in findings)
    counted = f"{_plural(problems, 'problem')}, {_plural(warnings, 'warning')}"
    return "\n".join([*lines, "", counted + ("" if problems else ": nothing is in the way")])


def machine_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as data; ``problems`` and ``warnings`` count them."""
    return {
        "schema": SCHEMA,
        "kind": "machine",
        "problems": sum(f.status == PROBLEM for f in findings),
        "warnings": sum(f.status == WARNING for f in findings),
        "findings": [asdict(f) for f in findings],
    }


def ordered_fixes(fixes: Iterable[Fix], versions: dict[str, str]) -> list[Fix]:
    """The fixes for these versions: what is known not to fit is left out, what is known to fit
    comes first."""
    left = [(fix.applies(versions), fix) for fix in fixes]
    fitting = [fix for applies, fix in left if applies and fix.when]
    others = [fix for applies, fix in left if applies is not False and fix not in fitting]
    return fitting + others


def log_text(diagnosis: Diagnosis, name: str) -> str:
    """The causes found in a log."""
    read = f"{name}: {_plural(diagnosis.lines, 'line')} read"
    if not diagnosis.size:
        return f"{name} is empty: paste the whole message, with the lines before it"
    if not diagnosis.problems:
        return (
            f"{read}: no problem that is known here.\n"
            "That does not mean that all is well: there are messages which no rule knows. "
            "`gpubook doctor`\nwithout a file checks this machine."
        )
    known = ", ".join(f"{k} {v}" for k, v in diagnosis.versions.items())
    lines = [read + (f" ({known})" if known else ""), ""]
    for number, problem in enumerate(diagnosis.problems, 1):
        lines += [*_problem_lines(number, problem, diagnosis.versions), ""]
    return "\n".join(lines).rstrip()


def _problem_lines(number: int, problem: Problem, versions: dict[str, str]) -> list[str]:
    rule = problem.rule
    more = f", {_times(problem.count)}" if problem.count > 1 else ""
    lines = [
        f"{number}. {rule.title}  [{rule.id}]",
        _wrapped(problem.quote.text, "     ", f"   line {problem.quote.line}{more}: "),
    ]
    if problem.explained_by:
        lines.append(f"   (probably follows from {problem.explained_by}, above)")
    lines.append(_wrapped(rule.cause, "     ", "   cause: "))
    lines.append(_wrapped(rule.matters, "     ", "   why it matters: "))
    lines.append(_wrapped(rule.versions, "     ", "   versions: "))
    for fix in ordered_fixes(rule.fix, versions):
        label = ": ".join(filter(None, (in_words(fix.when), fix.note))) or "type"
        lines.append(_wrapped(label, "     ", "   - "))
        lines += [f"       $ {command}" for command in fix.run]
    lines += [f"   see {source}" for source in rule.sources[:2]]
    return lines


def _times(count: int) -> str:
    return "1000 times or more" if count >= 1000 else f"{count} times"


def log_json(diagnosis: Diagnosis, name: str) -> dict[str, Any]:
    """The causes found in a log as data, the likeliest first."""
    return {
        "schema": SCHEMA,
        "kind": "log",
        "source": name,
        "bytes": diagnosis.size,
        "lines": diagnosis.lines,
        "versions": diagnosis.versions,
        "problems": [
            {
                "id": p.rule.id,
                "title": p.rule.title,
                "line": p.quote.line,
                "quote": p.quote.text,
                "count": p.count,
                "explained_by": p.explained_by or None,
                "cause": p.rule.cause,
                "matters": p.rule.matters,
                "versions": p.rule.versions,
                "fix": [asdict(f) for f in ordered_fixes(p.rule.fix, diagnosis.versions)],
                "sources": list(p.rule.sources),
            }
            for p in diagnosis.problems
        ],
    }
