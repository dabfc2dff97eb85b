"""The instructor's guide: its plans add up, and what it names exists."""

import re

import pytest

from tests.conftest import NOTEBOOKS, ROOT

GUIDE = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## )", GUIDE, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found[1]


@pytest.mark.parametrize(
    ("title", "minutes"), [("A plan for 90 minutes", 90), ("A plan for a day", 480)]
)
def test_a_plans_minutes_add_up(title, minutes):
    rows = re.findall(r"^\| (\d+) \|", section(title), re.MULTILINE)
    assert sum(int(row) for row in rows) == minutes


def test_the_day_has_every_notebook_with_its_measured_time():
    day = section("A plan for a day")
    taught = re.findall(r"\{gpubook-took\}`([^`]+)`", day)
    assert taught == sorted(set(re.findall(r"notebooks/([\w-]+)\.ipynb", day)))
    assert taught == NOTEBOOKS[: len(taught)], "a page that comes last may wait for another day"
    assert len(taught) >= 14


def test_the_targets_and_scripts_that_it_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    code = "\n".join("".join(pair) for pair in re.findall(
        r"```shell\n(.*?)```|`([^`\n]+)`", GUIDE, re.DOTALL))  # fmt: skip
    named = set(re.findall(r"\bmake ([a-z-]+)\b", code))
    assert named and named <= targets
    start = (ROOT / "tools" / "bundle" / "start").read_text(encoding="utf-8")
    for word in re.findall(r"\./start ([a-z-]+)", code):
        assert f"./start {word} " in start
    for path in re.findall(r"`(docker/[\w./-]+|\.devcontainer[\w./-]*)`", GUIDE):
        assert (ROOT / path).exists(), path


def test_the_hubs_variables_are_those_of_its_start_script():
    known = set(re.findall(
        r"^#   ((?:HUB|SEAT)_[A-Z_]+)|; ((?:HUB|SEAT)_[A-Z_]+)",
        (ROOT / "docker" / "jupyterhub" / "hub").read_text(encoding="utf-8"), re.MULTILINE,
    ))  # fmt: skip
    known = {a or b for a, b in known}
    named = set(re.findall(r"\b(?:HUB|SEAT)_[A-Z_]+\b", GUIDE))
    assert named and named <= known
