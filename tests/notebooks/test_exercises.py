"""The solutions of the exercises: each is worked out again here, another way where there is one."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import NOTEBOOKS, ROOT
from tests.notebooks.holds import assert_answer_holds, claims


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_exercise_has_a_folded_solution_that_was_run_and_gave_an_answer(
    results, executed, name
):
    page = json.loads((executed / "executed" / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: cell for cell in page["cells"]}
    asked = [int(m[1]) for i in cells if (m := re.fullmatch(r"exercise-(\d+)", i))]
    assert asked == list(range(1, len(asked) + 1))
    assert len(asked) >= 4
    kinds_ = []
    for n in asked:
        text = source(cells[f"exercise-{n}"])
        kinds_.append(re.match(rf"\*\*Exercise {n} \((read|compute|change)\)\. ", text)[1])
        solved = cells[f"solution-{n}"]
        assert solved["execution_count"], f"solution {n} was not run"
        assert "hide-cell" in solved["metadata"]["tags"], f"solution {n} is not folded in the book"
        assert solved["metadata"]["jupyter"]["source_hidden"], "nor in JupyterLab"
        assert solved["metadata"]["jupyter"]["outputs_hidden"]
        assert f"exercise {n}" in solved["metadata"]["mystnb"]["code_prompt_show"]
    assert kinds_[0] == "read", "the first one reads a result"
    assert "change" in kinds_, "one changes the experiment"
    given = results(name).result["solutions"]
    assert [item["exercise"] for item in given] == asked


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_solutions_are_cheap(results, name):
    times = results(name).result["cells"]
    spent = sum(c["end"] - c["start"] for c in times if c["id"].startswith("solution-"))
    whole = sum(c["end"] - c["start"] for c in times)
    assert spent < whole / 2, "solving takes longer than the rest of the page"


# 14


@pytest.fixture
def cluster_page(results):
    return results("14-beyond-one-machine")


def test_14_a_job_that_was_asked_to_stop_computes_no_step_twice(cluster_page):
    answer = cluster_page.solution(1)
    log = cluster_page.evidence("log").data["steps"][1]["stdout"]
    assert f"Resumed after step {answer['resumed']} of" in log
    assert log.count(f"Stopped after step {answer['stopped']} of") == 2, "each process says so"
    assert answer["twice"] == answer["stopped"] - answer["resumed"] == 0


def test_14_more_is_charged_than_computed(cluster_page):
    answer = cluster_page.solution(2)
    rows = cluster_page.evidence("accounting").data["steps"][1]["stdout"].splitlines()[2:]
    jobs = [row.split() for row in rows if "." not in row.split()[0]]
    charged = sum(int(row[4]) * int(row[5]) for row in jobs)  # processors times seconds
    assert answer["charged_seconds"] == charged
    assert answer["share"] == pytest.approx(answer["computed_seconds"] / charged)
    assert 0 < answer["share"] <= 1
    minutes = [row[7].split(":") for row in jobs]
    assert answer["computed_seconds"] == pytest.approx(
        sum(float(m) * 60 + float(s) for m, s in minutes)
    )


@pytest.mark.parametrize(
    ("name", "exercise"), [(name, n) for name in NOTEBOOKS for n in claims(ROOT, name)]
)
def test_what_the_page_says_of_an_answer_holds(results, name, exercise):
    assert_answer_holds(ROOT, results(name).result, exercise)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_solution_is_judged_by_its_page_or_by_a_test(results, name):
    """By the page: what holds of it. By a test: the page's own, or one above with its number."""
    judged = {*claims(ROOT, name)}
    own = ROOT / "tests" / "notebooks" / f"test_{name.replace('-', '_')}.py"
    here = Path(__file__).read_text(encoding="utf-8")
    texts = re.findall(rf"def test_{name[:2]}_.*?(?=\ndef |\Z)", here, re.DOTALL)
    texts += [own.read_text(encoding="utf-8")] if own.is_file() else []
    judged |= {int(n) for text in texts for n in re.findall(r"\.solution\((\d)\)", text)}
    assert judged == {item["exercise"] for item in results(name).result["solutions"]}, name
