"""All items of the checklist, on one folder, in their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gpubook import machine
from gpubook.errors import UsageError
from gpubook.files import MEBIBYTE
from gpubook.project import build, dockerfile, result, script
from gpubook.project.items import ENGINE_ITEMS, ITEMS, Finding, met, missing, not_checked, text_of

_SECRET = {".git": ".git/config", ".env": ".env"}


def check(folder: Path, *, build_arguments: Sequence[str] = ()) -> list[Finding]:
    """The findings on a project's folder, one for each item of the checklist.

    What takes a Docker Engine is reported as not checked where there is none. Raises UsageError
    when ``folder`` is no folder or a build argument is not ``NAME=VALUE``.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give the one that holds your Dockerfile")
    for argument in build_arguments:
        if "=" not in argument.lstrip("="):
            raise UsageError(f"--build-arg {argument!r} is not NAME=VALUE")
    findings = [
        *_dockerfile(folder, build_arguments),
        _dockerignore(folder),
        *script.check(folder),
        *result.check(folder),
    ]
    findings += _with_engine(folder, findings, build_arguments)
    by_id = {finding.id: finding for finding in findings}
    return [by_id[id_] for id_ in ITEMS]


def _dockerfile(folder: Path, build_arguments: Sequence[str]) -> list[Finding]:
    names = ("dockerfile", "pinned-base", "non-root", "command")
    text, reason = text_of(folder, "Dockerfile", MEBIBYTE)
    try:
        stages = [] if reason else dockerfile.stages(text)
    except dockerfile.BadDockerfile as error:
        reason = str(error)
    if reason:
        return [missing(name, reason) for name in names]
    return [
        met("dockerfile", f"{len(stages)} stage{'s' if len(stages) > 1 else ''}"),
        _bases(stages),
        _user(stages),
        _command(stages),
    ]


def _bases(stages: list[dockerfile.Stage]) -> Finding:
    outside = dockerfile.bases(stages)
    if not outside:
        return met("pinned-base", "FROM scratch: there is no base image")
    loose = [stage for stage in outside if not dockerfile.is_pinned(stage.base)]
    if loose:
        return missing("pinned-base", f"line {loose[0].line}: FROM {loose[0].base} can move")
    return met("pinned-base", ", ".join(stage.base for stage in outside))


def _user(stages: list[dockerfile.Stage]) -> Finding:
    user = dockerfile.user_of(stages)
    if not user:
        return missing("non-root", "no USER: the image runs as its base does, which is mostly root")
    if dockerfile.is_root(user):
        return missing("non-root", f"the last USER is {user}")
    return met("non-root", f"USER {user}")


def _command(stages: list[dockerfile.Stage]) -> Finding:
    words = dockerfile.command_of(stages)
    if not words:
        return missing("command", "neither CMD nor ENTRYPOINT in the last stage")
    return met("command", " ".join(words))


def _dockerignore(folder: Path) -> Finding:
    from docker.utils.build import PatternMatcher

    text, reason = text_of(folder, ".dockerignore", MEBIBYTE)
    if reason:
        return missing("dockerignore", reason)
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    try:
        matcher = PatternMatcher(patterns)
        sent = [name for name, path in _SECRET.items() if not matcher.matches(path)]
    except re.error as error:
        return missing("dockerignore", f"one of its patterns cannot be read: {error}")
    if sent:
        return missing("dockerignore", f"it lets {' and '.join(sent)} through")
    return met("dockerignore", f"{len(patterns)} pattern{'s' if len(patterns) > 1 else ''}")


def _with_engine(
    folder: Path, findings: list[Finding], build_arguments: Sequence[str]
) -> list[Finding]:
    here = machine.probe()
    engine = here.capabilities["docker"]
    if not engine.available:
        return [not_checked(name, engine.why) for name in ENGINE_ITEMS]
    if any(f.id == "dockerfile" and f.state == "missing" for f in findings):
        return [not_checked(name, "there is no Dockerfile to build") for name in ENGINE_ITEMS]
    gpu = here.capabilities["gpu"].available and here.capabilities["toolkit"].available
    return build.check(folder, arguments=build_arguments, gpu=gpu)
