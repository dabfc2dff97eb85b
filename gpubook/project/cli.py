"""``gpubook project FOLDER``: the checklist of the final project, verified."""

from __future__ import annotations

import argparse
import json

from gpubook import machine
from gpubook.project.checks import check
from gpubook.project.items import MET, MISSING, NOT_CHECKED, Finding

SCHEMA = "gpubook.project/1"


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 when nothing is missing, 1 when something is."""
    machine.check(machine.required(args.require))
    findings = check(args.folder, build_arguments=args.build_arg)
    if args.json:
        print(json.dumps(as_json(findings, str(args.folder)), indent=1))
    else:
        print("\n".join(lines(findings)))
    return 1 if any(f.state == MISSING for f in findings) else 0


def as_json(findings: list[Finding], folder: str) -> dict:
    """The findings for programs: ``items`` in the order of the checklist, and their counts."""
    states = [finding.state for finding in findings]
    return {
        "schema": SCHEMA,
        "folder": folder,
        "met": states.count(MET),
        "missing": states.count(MISSING),
        "not_checked": states.count(NOT_CHECKED),
        "items": [finding.as_json() for finding in findings],
    }


def lines(findings: list[Finding]) -> list[str]:
    """The findings for people: a line each; a missing one says what, why and how."""
    width = max(len(finding.id) for finding in findings)
    rows = []
    for finding in findings:
        line = f"{finding.state:<11}  {finding.id:<{width}}  {' '.join(finding.found.split())}"
        if finding.state == MISSING:
            line += f" | why: {finding.item.why} | do: {finding.item.how}"
        rows.append(line)
    count = as_json(findings, "")
    rows.append(
        f"{count['met']} of {len(findings)} met, {count['missing']} missing, "
        f"{count['not_checked']} not checked"
    )
    return rows
