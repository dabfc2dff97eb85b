"""The solutions of the exercises: each is worked out again here, another way where there is one."""

from __future__ import annotations

import collections
import json
import math
import re

import pytest
from sklearn import metrics as reference

from gpubook import machine
from gpubook.matmul import kinds
from gpubook.spam import data
from tests.conftest import NOTEBOOKS, ROOT


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




# 05


@pytest.fixture
def training_page(results):
    return results("05-fine-tune-bert")


def test_05_those_who_disagree_are_counted_right(training_page):
    answer = training_page.solution(1)
    linear = training_page.evidence("baseline").data
    bert = training_page.evidence("training").data["test_at_threshold"]
    # Whatever one has right alone is the difference of what each has right at all.
    difference = round((linear["accuracy"] - bert["accuracy"]) * bert["messages"])
    assert answer["tfidf"] - answer["bert"] == difference
    low, high = sorted([linear["f1_interval"], bert["f1_interval"]])
    assert answer["overlap"] is (high[0] <= low[1])


def test_05_copies_leak_from_a_random_split_and_not_from_ours(training_page):
    answer = training_page.solution(2)
    counted = training_page.evidence("data").data
    assert answer["honest"] == 0
    everything = data.load()
    assert len(everything) == counted["messages"]
    parts = data.split(everything, seed=2023)
    trained_on = collections.Counter(map(data.fingerprint, parts.train.texts))
    asked = collections.Counter(map(data.fingerprint, parts.test.texts))
    assert answer["messages"] == asked.total()
    assert answer["leaked"] == sum(n for text, n in asked.items() if trained_on[text]) > 0


def test_05_with_messages_of_one_length_only_the_fixed_padding_is_left(training_page):
    assert training_page.solution(3) == {
        "all to 128": pytest.approx(8 / 128),
        "random batches": 0,
        "by length": 0,
    }


def test_05_a_careful_threshold_costs_recall(training_page):
    answer = training_page.solution(4)
    trained = training_page.evidence("training").data
    part = trained["validation_predictions"]
    precision, _, thresholds = reference.precision_recall_curve(
        part["labels"], part["probabilities"], drop_intermediate=False
    )
    reaching = [t for p, t in zip(precision[:-1], thresholds, strict=True) if p >= 0.99]
    assert answer["threshold"] == pytest.approx(min(reaching, default=1.0))
    test = trained["test_predictions"]
    called = [int(p >= answer["threshold"]) for p in test["probabilities"]]
    assert answer["recall"] == pytest.approx(reference.recall_score(test["labels"], called))
    assert answer["precision"] == pytest.approx(reference.precision_score(test["labels"], called))
    low, high = answer["precision_interval"]
    z, n, p = 1.959963984540054, sum(called), answer["precision"]  # Wilson's interval, 95 %
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-6)
    if answer["threshold"] >= trained["test_at_threshold"]["threshold"]:
        assert answer["recall"] <= trained["test_at_threshold"]["recall"]


# 06


@pytest.fixture
def predict_page(results):
    return results("06-predict-and-clean-up")


def test_06_the_cheapest_filter_has_the_lowest_cost(predict_page):
    answer = predict_page.solution(1)
    cuts = {row["way"]: row for row in predict_page.evidence("thresholds").data}
    assert answer["costs"] == {
        way: row["missed_spam"] + sum(20 for _ in range(row["false_spam"]))
        for way, row in cuts.items()
    }
    assert all(answer["costs"][answer["best"]] <= cost for cost in answer["costs"].values())


def test_06_what_could_go_is_the_last_column_in_gb(predict_page):
    answer = predict_page.solution(2)
    before = predict_page.evidence("clean-up").data["steps"][1]["stdout"]
    assert set(answer["reclaimable_gb"]) == {"Images", "Containers", "Local Volumes", "Build Cache"}
    for line in before.splitlines()[1:]:
        name = next(n for n in answer["reclaimable_gb"] if line.startswith(n))
        last = line.split("(")[0].split()[-1]
        size = answer["reclaimable_gb"][name]
        shown = {"GB": f"{size:.4g}GB", "MB": f"{size * 1e3:.4g}MB", "kB": f"{size * 1e6:.4g}kB"}
        assert shown.get(last[-2:], f"{size * 1e9:.4g}B") == last
    assert answer["total_gb"] == pytest.approx(sum(answer["reclaimable_gb"].values()))


def test_06_undoing_the_disguise_brings_recall_back(predict_page):
    found = {row["way"]: row["found"] for row in predict_page.evidence("attacks").data}
    assert predict_page.solution(3)["undone"] == found["as it is"]
    assert found["Cyrillic look-alikes"] < found["as it is"], "or nothing was disguised"


def test_06_quiet_spam_is_new_and_mostly_missed(predict_page):
    answer = predict_page.solution(4)
    rows = predict_page.evidence("exercise-quiet").data
    known = {data.fingerprint(text) for text in data.load().texts}
    assert not known & {data.fingerprint(row["text"]) for row in rows}
    assert answer["of"] == len(rows) == 3
    assert answer["ham"] == [row["label"] for row in rows].count("ham")
    assert answer["ham"] >= 2


def test_06_each_line_gets_an_answer_the_empty_ones_none(predict_page):
    answer = predict_page.solution(5)
    assert len(answer["labels"]) == answer["lines"] == 5
    assert [label is None for label in answer["labels"]] == [False, True, False, True, False]
    unseen = [row["label"] for row in predict_page.evidence("unseen").data[:3]]
    assert answer["labels"][::2] == unseen


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


def test_14_what_can_never_run_is_refused_at_once(cluster_page):
    answer = cluster_page.solution(3)
    assert answer["exit_code"] != 0
    assert "allocation failure" in answer["says"]


def test_14_each_job_of_an_array_has_its_number(cluster_page):
    assert cluster_page.solution(4) == [0, 1, 2, 3]


def test_solutions_of_docker_measurements_are_live_where_an_engine_is(docker_page):
    here = machine.probe().capabilities["docker"].available
    for name in ("exercise-init", "exercise-memory"):
        assert docker_page.evidence(name).live == here


def test_every_solution_is_judged_by_a_test(results):
    folder = ROOT / "tests" / "notebooks"
    here = (folder / "test_exercises.py").read_text(encoding="utf-8")
    for name in NOTEBOOKS:
        own = (folder / f"test_{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        tests = re.findall(rf"def test_{name[:2]}_.*?(?=\ndef |\Z)", here, re.DOTALL)
        for texts in ([own], tests):
            judged = {int(n) for text in texts for n in re.findall(r"\.solution\((\d)\)", text)}
            if judged:
                break
        assert judged == {item["exercise"] for item in results(name).result["solutions"]}, name
