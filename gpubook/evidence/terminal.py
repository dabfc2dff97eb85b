"""Shell lines as a reader types them, run for real, and loud when they fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpubook import programs
from gpubook.errors import BookError
from gpubook.evidence import display

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\r(?!\n)")


class CommandFailed(BookError):
    """A shown command ended with another exit code than the page expects."""


def commands(cell: str) -> list[str]:
    """The commands of a cell: its lines, joined where bash asks for more.

    A line that ends in a backslash, a loop, or a here-document goes on. Blank lines and
    whole-line comments between commands are left out.
    """
    lines: list[str] = []
    pending = ""
    for line in cell.split("\n"):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        pending += line.rstrip() if not pending else f"\n{line}"
        if not pending.endswith("\\") and _complete(pending):
            lines.append(pending.rstrip())
            pending = ""
    return [*lines, pending] if pending else lines


def _complete(command: str) -> bool:
    """Whether bash would run this, or wait for another line. (`bash -n` only reads.)"""
    if not re.search(r"<<|[(\"'`{]|\b(for|while|until|if|case|do|then)\b", command):
        return True  # nothing that could be open: spares a process
    read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True)
    return read.returncode == 0 and not read.stderr


def run(command: str, *, timeout: float) -> dict[str, Any]:
    """Run one command with bash and keep what a terminal would have shown.

    Returns ``command``, ``stdout`` (with standard error, in order), ``exit_code`` and
    ``seconds``. A command over its time is ended with everything it started, and raises
    CommandFailed.
    """
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "DOCKER_CLI_HINTS": "false"}
    # The book's own commands are beside this Python, whether its environment is active or not.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    start = time.perf_counter()
    done = programs.run(
        ["bash", "-o", "pipefail", "-c", command], timeout, merged=True, env=environment
    )
    if done is None:
        raise CommandFailed(f"`{command}` was still running after {timeout:g} s")
    return {
        "command": command,
        "stdout": _ANSI.sub("", done.stdout),
        "exit_code": done.exit_code,
        "seconds": round(time.perf_counter() - start, 3),
    }


def run_all(lines: list[str], timeout: float, *, expect_failure: bool = False) -> list[dict]:
    """Run commands one after another; stop at the first that does not end as expected.

    Raises CommandFailed, after showing what was printed until then.
    """
    steps: list[dict] = []
    for line in lines:
        step = run(line, timeout=timeout)
        steps.append(step)
        if (step["exit_code"] != 0) == expect_failure:
            continue
        print(display.transcript(steps))
        if expect_failure:
            raise CommandFailed(f"`{line}` was expected to fail and did not")
        last = step["stdout"].strip().split("\n")[-1]
        raise CommandFailed(f"`{line}` ended with exit code {step['exit_code']}: {last}")
    return steps
