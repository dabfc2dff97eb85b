"""The project's image, really built and really run.

The ``docker`` command builds (BuildKit is its default) and runs; what it made is removed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from gpubook import files, programs
from gpubook.project import dockerfile, result
from gpubook.project.items import Finding, met, missing, not_checked

BUILD_SECONDS = 1800
RUN_SECONDS = 600
# What a stranger's program gets: no privileges, no log on the engine's disk, and an init, or it
# would not hear of it when this command is stopped.
LIMITS = (
    "--init", "--network=none", "--memory=4g", "--memory-swap=4g", "--pids-limit=512",
    "--cap-drop=ALL", "--security-opt=no-new-privileges", "--log-driver=none",
)  # fmt: skip
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def check(folder: Path, *, arguments: Sequence[str] = (), gpu: bool = False) -> list[Finding]:
    """Build the folder's image and run it with the network cut; the findings on both.

    ``arguments`` are build arguments, ``NAME=VALUE``; with ``gpu`` the container gets all GPUs.
    Image and container are removed, whatever happens.
    """
    tag = f"gpubook-project:{secrets.token_hex(6)}"
    try:
        built = _build(folder, tag, arguments)
        if built.state != "met":
            return [built, not_checked("runs", "there is no image to run")]
        return [built, _run(tag, gpu)]
    finally:
        _docker(["rm", "--force", _container(tag)], 60)
        _docker(["image", "rm", "--force", tag], 120)


def _build(folder: Path, tag: str, arguments: Sequence[str]) -> Finding:
    given = [word for argument in arguments for word in ("--build-arg", argument)]
    done = _docker(["build", "--tag", tag, *given, "--", str(folder)], BUILD_SECONDS)
    if done is None:
        return missing("builds", f"docker build was still busy after {BUILD_SECONDS // 60} minutes")
    code, _, said = done
    if code != 0:
        return missing("builds", f"docker build ended with {code}: {last_error(said)}")
    looked = _docker(["image", "inspect", tag], 60)
    size = json.loads(looked[1])[0]["Size"] if looked and looked[0] == 0 else 0
    return met("builds", f"an image of {size / 2**20:.0f} MiB")


def _run(tag: str, gpu: bool) -> Finding:
    options = ["--rm", "--name", _container(tag), "--label", "gpubook.demo=1", *LIMITS]
    done = _docker(["run", *options, *(["--gpus", "all"] if gpu else []), tag], RUN_SECONDS)
    if done is None:
        return missing("runs", f"the container was still running after {RUN_SECONDS // 60} minutes")
    code, printed, said = done
    if code != 0:
        return missing("runs", f"the container ended with {code}: {last_error(said or printed)}")
    return judge(printed, _user(tag))


def _container(tag: str) -> str:
    return tag.replace(":", "-")


def judge(printed: str, user: str) -> Finding:
    """The finding on what a container printed, whose image runs as ``user``."""
    if not user or dockerfile.is_root(user):
        return missing("runs", "the image runs as root")
    try:
        value = files.json_of(printed, "it")
    except files.Malformed:
        first = printed.strip().splitlines()[0][:60] if printed.strip() else "nothing"
        return missing("runs", f"it printed {first!r}, which is not one JSON object")
    wrong = result.problem(value) or result.container_problem(value)
    if wrong:
        return missing("runs", f"what it printed: {wrong}")
    return met("runs", result.line_of(value))


def _user(tag: str) -> str:
    looked = _docker(["image", "inspect", "--format", "{{.Config.User}}", tag], 60)
    return looked[1].strip() if looked and looked[0] == 0 else ""


def last_error(said: str) -> str:
    """The line of a build's or a program's output that tells most: the last that says error."""
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in _ANSI.sub("", said))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error", line, re.IGNORECASE)]
    return (errors or lines or ["it said nothing"])[-1][:200]


def _docker(words: Sequence[str], seconds: float) -> tuple[int, str, str] | None:
    """Exit code, standard output and standard error, their ends; None when the time was up."""
    environment = os.environ | {"BUILDKIT_PROGRESS": "plain", "DOCKER_CLI_HINTS": "false"}
    done = programs.run(["docker", *words], seconds, env=environment)
    return (done.exit_code, done.stdout, done.stderr) if done else None
