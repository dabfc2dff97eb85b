"""Notebook 06: the saved model predicts as it did in training, and doubts are shown."""

import itertools
import os

import pytest
from sklearn import metrics as reference

from gpubook.spam import data
from tests.notebooks.judge import assert_scores

NAME = "06-predict-and-clean-up"


@pytest.fixture(scope="module")
def page(results):
    return results(NAME)


def test_the_saved_model_predicts_what_it_did_when_it_was_trained(page, results):
    before = results("05-fine-tune-bert").evidence("training").data
    after = page.evidence("test").data
    assert after["labels"] == before["test_predictions"]["labels"]
    assert after["threshold"] == before["threshold"]
    assert after["probabilities"] == pytest.approx(
        before["test_predictions"]["probabilities"], abs=0.02
    )
    called = [int(p >= after["threshold"]) for p in after["probabilities"]]
    assert reference.f1_score(after["labels"], called) >= 0.93


def test_without_a_message_the_command_says_how_to_use_it(page):
    (step,) = page.evidence("no-message").data["steps"]
    assert step["exit_code"] == 2
    assert "usage: spam_predict" in step["stdout"]
    assert "Traceback" not in step["stdout"]


def test_the_two_messages_of_the_chapter_are_ham_and_spam(page):
    (step,) = page.evidence("two-messages").data["steps"]
    labels = [line.split("\t")[0] for line in step["stdout"].splitlines() if "\t" in line]
    assert labels == ["ham", "spam"]


def test_the_page_says_which_of_them_is_in_the_collection(page):
    hey, mobile = page.evidence("seen-before").data
    assert (hey["times"], hey["part"]) == (0, None)
    assert mobile["times"] >= 1
    _, _, split = data.prepare(seed=2023)
    assert mobile["text"] in getattr(split, mobile["part"]).texts


def test_the_unseen_messages_are_unseen_and_the_clear_ones_are_right(page):
    rows = page.evidence("unseen").data
    assert all(row["in_collection"] == 0 for row in rows)
    assert len(rows) >= 10
    threshold = page.evidence("test").data["threshold"]
    for row in rows:
        assert row["label"] == ("spam" if row["probability"] >= threshold else "ham")
    assert all(row["label"] == "ham" for row in rows if row["ours"] == "ham")
    spam_of_that_time = [row for row in rows if row["ours"] == "spam"][:3]
    assert all(row["label"] == "spam" for row in spam_of_that_time)


def test_a_higher_threshold_hides_less_ham_and_misses_more_spam(page):
    cuts = sorted(page.evidence("thresholds").data, key=lambda row: row["threshold"])
    assert len({row["threshold"] for row in cuts}) >= 2
    test = page.evidence("test").data
    for row in cuts:
        assert_scores(row, test["labels"], test["probabilities"])
    for low, high in itertools.pairwise(cuts):
        assert high["false_spam"] <= low["false_spam"]
        assert high["missed_spam"] >= low["missed_spam"]


def test_the_careful_filter_is_the_boldest_that_is_precise_enough(page, results):
    valid = results("05-fine-tune-bert").evidence("training").data["validation_predictions"]
    precision, _, thresholds = reference.precision_recall_curve(
        valid["labels"], valid["probabilities"], drop_intermediate=False
    )
    precise = [t for p, t in zip(precision[:-1], thresholds, strict=True) if p >= 0.99]
    cuts = {row["way"]: row for row in page.evidence("thresholds").data}
    assert cuts["careful"]["threshold"] == pytest.approx(min(precise, default=1.0))
    assert cuts["highest F1"]["threshold"] == page.evidence("test").data["threshold"]


def test_disguises_are_judged_against_the_undisguised(page):
    found = {row["way"]: row["found"] for row in page.evidence("attacks").data}
    test = page.evidence("test").data
    called = [int(p >= test["threshold"]) for p in test["probabilities"]]
    assert found["as it is"] == pytest.approx(
        reference.recall_score(test["labels"], called), abs=0.02
    )
    assert found["lower case"] == found["as it is"], "the tokenizer lowers all letters itself"
    assert found["spaced letters"] < found["as it is"], "or nothing was disguised"
    assert all(0 <= share <= 1 for share in found.values())


def test_batches_are_faster_than_one_at_a_time(page):
    speed = page.evidence("speed").data
    assert speed["messages"] == len(page.evidence("test").data["labels"])
    assert speed["ratio"] == pytest.approx(
        speed["messages_per_second"] / speed["one_at_a_time_messages_per_second"]
    )
    assert speed["ratio"] > 1.2
    assert speed["messages_per_second"] == pytest.approx(speed["messages"] / speed["seconds"])


def test_the_files_are_those_of_the_model_with_their_owner(page, results):
    rows = page.evidence("model-folder").data
    files = [{key: row[key] for key in ("file", "bytes")} for row in rows]
    assert files == results("05-fine-tune-bert").evidence("saved").data
    assert {row["uid"] for row in rows} == {row["you"] for row in rows} == {os.getuid()}


def test_the_clean_up_removes_what_it_made_and_shows_the_disk(page):
    create, before, prune, after = page.evidence("clean-up").data["steps"]
    assert create["stdout"].strip() == "gpubook-demo"
    assert "gpubook-demo" in prune["stdout"]
    for step in (before, after):
        assert step["exit_code"] == 0
        assert step["stdout"].startswith("TYPE")
        kinds = [line.split()[0] for line in step["stdout"].splitlines()[1:]]
        assert kinds[:3] == ["Images", "Containers", "Local"]
    volumes = [
        int(next(line for line in step["stdout"].splitlines() if "Volumes" in line).split()[2])
        for step in (before, after)
    ]
    assert volumes[1] <= volumes[0] - 1
