"""The command ``gpubook doctor``: this machine, or a log."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from gpubook import files
from gpubook.doctor import report
from gpubook.doctor.diagnose import Diagnosis, diagnose
from gpubook.doctor.plain import shown
from gpubook.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Exit 0 when nothing is wrong, 1 when there are problems. Raises UsageError (exit 2) for a
    file that cannot be read."""
    if args.file is None:
        from gpubook.doctor.probe import probe

        findings = probe()
        data = report.machine_json(findings)
        _say(data if args.json else report.machine_text(findings))
        return 1 if data["problems"] else 0
    name, diagnosis = _read(args.file)
    _say(report.log_json(diagnosis, name) if args.json else report.log_text(diagnosis, name))
    return 1 if diagnosis.problems else 0


def _read(file: str) -> tuple[str, Diagnosis]:
    name = shown(os.fsencode(file))  # a file's name may hold escapes for the terminal
    if file == "-":
        return "the text", diagnose(files.standard_input())
    try:
        with files.opened(file) as stream:
            return name, diagnose(stream)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot read {name}: {why}; name a log, or pipe it into `gpubook doctor -`"
        ) from None


def _say(what: dict[str, Any] | str) -> None:
    print(what if isinstance(what, str) else json.dumps(what, indent=1, allow_nan=False))
