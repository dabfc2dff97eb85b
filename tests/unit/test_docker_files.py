"""The files that make the image: their linters find nothing, and only what is named is sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SHELL = [
    path
    for path in sorted(
        [
            *DOCKER.iterdir(),
            *(DOCKER / "jupyterhub").iterdir(),
            *(ROOT / "tools" / "bundle").iterdir(),
            *(ROOT / ".ci").iterdir(),
        ]
    )
    if path.is_file() and path.open("rb").readline().endswith(b"bash\n")
]


def test_the_dockerfile_has_no_findings():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "Dockerfile"],
        cwd=DOCKER, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(
    not (Path(sys.executable).parent / "shellcheck").exists(),
    reason="shellcheck has no wheel for this machine",
)
@pytest.mark.parametrize("script", SHELL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_shell_scripts_have_no_findings(script):
    done = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", script], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert os.access(script, os.X_OK)


def test_the_base_is_named_by_its_digest_and_debians_packages_are_checked():
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=\S+:\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    make_base = (DOCKER / "make-base").read_text()
    assert re.findall(r"^ *debootstrap --(\S+)", make_base, re.MULTILINE) == ["force-check-gpg"]


def test_the_build_context_has_no_caches_or_wheels_and_only_the_tests_that_judge_answers():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "nothing is sent unless it is named"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert not sent & {"tests", "wheelhouse", "_build", ".git", ".venv"}
    assert {rule for rule in sent if rule.startswith("tests")} == {"tests/*.py", "tests/notebooks"}
    copied = (DOCKER / "Dockerfile").read_text()
    assert "COPY --chmod=777 tests /book/tests\n" in copied
    rest = sorted(rule for rule in sent if not rule.startswith("tests"))
    assert [name for name in rest if name not in copied] == []
