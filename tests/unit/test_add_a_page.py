"""Adding a page, as CONTRIBUTING shows it, carried out in a copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.notebooks.holds import assert_answer_holds, claims

NAME = "15-cores"
STEPS = re.search(
    r"^## A page of your own.*?```shell\n(.*?)```",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)[1]


def files(root) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The book with one page more, and which files that touched."""
    root = tmp_path_factory.mktemp("copy") / "book"
    root.mkdir()
    for name in ("book", "examples", "gpubook", "notebooks", "tests", "tools"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, root)
    before = files(root)
    *adding, judging = STEPS.strip().split("\n\n")
    subprocess.run(["bash", "-euc", "\n".join(adding)], cwd=root, check=True)
    after = files(root)
    return root, {name for name in after if after[name] != before.get(name)}, judging


def call(root, *command):
    commands = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # noqa: PTH120
    settings = {"PATH": commands, "GPUBOOK_ROOT": str(root), "PYTHONPATH": str(root)}
    settings["PYTEST_ADDOPTS"] = ""
    done = subprocess.run(
        command, cwd=root, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_page_is_three_files(copy):
    _, touched, _ = copy
    assert touched == {"_toc.yml", f"notebooks/{NAME}.ipynb", f"book/checks/{NAME}.toml"}


def test_the_new_page_runs_and_its_answers_hold_and_a_wrong_one_does_not(copy):
    root, _, judging = copy
    assert f"{NAME}  executed" in call(root, "bash", "-euc", judging.splitlines()[0])
    result = json.loads((root / "_build" / "results" / f"{NAME}.json").read_text("utf-8"))
    assert [*claims(root, NAME)] == [1, 2, 3, 4]
    for exercise in claims(root, NAME):
        assert_answer_holds(root, result, exercise)
    result["solutions"][1]["answer"] += 1
    with pytest.raises(AssertionError, match="exercise 2"):
        assert_answer_holds(root, result, 2)


def test_the_new_page_is_linted_and_obeys_the_rules_of_all_pages(copy):
    root, _, judging = copy
    lint, rules = judging.split("\n", 2)[1:]
    call(root, "bash", "-euc", lint)
    assert re.search(r"\d\d passed", call(root, "bash", "-euc", rules))
