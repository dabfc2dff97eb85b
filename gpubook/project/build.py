"""The project's image, really built and really run.

The ``docker`` command builds (BuildKit is its default) and runs; what it made is removed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from gpubook import files
from gpubook.project import dockerfile, result
from gpubook.project.items import Finding, met, missing, not_checked

BUILD_SECONDS = 1800
RUN_SECONDS = 600
LIMITS = (
    "--network=none", "--memory=4g", "--memory-swap=4g", "--pids-limit=512", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--log-driver=none",
)  # fmt: skip
"""What somebody's container gets here, and no more."""
KEPT_BYTES = 10**6
"""The end of an output that is kept; a container can print without end."""
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
    name = tag.replace(":", "-")
    options = ["--rm", "--name", name, "--label", "gpubook.demo=1", *LIMITS]
    done = _docker(["run", *options, *(["--gpus", "all"] if gpu else []), tag], RUN_SECONDS)
    if done is None:
        _docker(["rm", "--force", name], 60)
        return missing("runs", f"the container was still running after {RUN_SECONDS // 60} minutes")
    code, printed, said = done
    if code != 0:
        return missing("runs", f"the container ended with {code}: {last_error(said or printed)}")
    return judge(printed, _user(tag))


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
    with (
        subprocess.Popen(
            ["docker", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment,
        ) as process,
        ThreadPoolExecutor(2) as pool,
    ):  # fmt: skip
        ends = [pool.submit(_end_of, pipe) for pipe in (process.stdout, process.stderr) if pipe]
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None
        said = [end.result().decode("utf-8", "replace") for end in ends]
    return code, said[0], said[1]


def _end_of(pipe: IO[bytes]) -> bytes:
    """The last KEPT_BYTES of a stream that is read to its end."""
    kept = b""
    while chunk := pipe.read(2**16):
        kept = (kept + chunk)[-KEPT_BYTES:]
    return kept
