"""The cell magic ``%%terminal``: shell lines as a reader types them, run for real.

::

    %%terminal docker-info --needs docker
    docker info

The first word names the evidence. Options: ``--needs CAPABILITIES``, ``--timeout SECONDS`` for
each command (60), ``--expect-failure`` where the error is what the page shows, ``--head LINES``
to fold longer output.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import time
from typing import Any

from gpubook.errors import BookError, UsageError
from gpubook.evidence import display, records

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\r(?!\n)")


class CommandFailed(BookError):
    """A shown command ended with another exit code than the page expects."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(f"%%terminal: {message}")


def _parse(line: str) -> argparse.Namespace:
    parser = _Parser(prog="%%terminal", add_help=False)
    parser.add_argument("name")
    parser.add_argument("--needs", default="")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--expect-failure", action="store_true")
    parser.add_argument("--head", type=int)
    return parser.parse_args(shlex.split(line))


def commands(cell: str) -> list[str]:
    """The commands of a cell: its lines, those ending in a backslash joined with the next.

    Blank lines and whole-line comments are left out.
    """
    joined = re.sub(r"\\\n", "\\\n\0", cell).split("\n")
    found: list[str] = []
    for line in joined:
        if line.startswith("\0"):
            found[-1] += "\n" + line[1:]
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(line.rstrip())
    return found


def run(command: str, *, timeout: float) -> dict[str, Any]:
    """Run one command with bash and keep what a terminal would have shown.

    Returns ``command``, ``stdout`` (with standard error, in order), ``exit_code`` and
    ``seconds``. A command over its time is ended with everything it started, and raises
    CommandFailed.
    """
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "DOCKER_CLI_HINTS": "false"}
    start = time.perf_counter()
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"`{command}` was still running after {timeout:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    text = _ANSI.sub("", output.decode("utf-8", errors="replace"))
    return {
        "command": command,
        "stdout": text,
        "exit_code": process.returncode,
        "seconds": round(time.perf_counter() - start, 3),
    }


def _measure(lines: list[str], options: argparse.Namespace) -> dict:
    steps = []
    for line in lines:
        step = run(line, timeout=options.timeout)
        if (step["exit_code"] != 0) != options.expect_failure:
            display_steps = display.transcript([*steps, step])
            print(display_steps)
            last = step["stdout"].strip().split("\n")[-1]
            if options.expect_failure:
                raise CommandFailed(f"`{line}` was expected to fail and did not")
            raise CommandFailed(f"`{line}` ended with exit code {step['exit_code']}: {last}")
        steps.append(step)
    return {"steps": steps}


def register(page: Any) -> None:
    """Give the running IPython session the magic, bound to ``page``. Elsewhere, do nothing."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return

    def terminal(line: str, cell: str) -> None:
        options = _parse(line)
        lines = commands(cell)

        def draw(evidence: Any) -> display.Shown:
            recorded = [step["command"] for step in evidence.data["steps"]]
            if recorded != lines:
                raise records.EvidenceError(
                    f"{page.notebook}/{options.name}: the recording on {evidence.machine} is of "
                    f"other commands ({recorded}), record it again"
                )
            return display.transcript(evidence.data["steps"], head=options.head)

        page.ask(
            options.name,
            measure=lambda: _measure(lines, options),
            needs=options.needs,
            draw=draw,
            others=lambda data: [step["command"] for step in data["steps"]] == lines,
        )

    shell.register_magic_function(terminal, "cell", "terminal")
