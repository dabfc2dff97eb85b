"""Page 13: the saved model predicts as it did in training, and doubts are shown."""

import ast
import itertools
import json

import pytest
from sklearn import metrics as reference

from gpubook.spam import data
from gpubook.spam.predict import Classifier
from tests.notebooks import pages

NOTEBOOK = "13-predict-and-clean-up"


def ours():
    """The messages that the page's authors wrote, in full: the table cuts them short."""
    return ast.literal_eval(pages.source(NOTEBOOK, "ours").partition("=")[2].strip())


def test_the_saved_model_predicts_what_it_did_when_it_was_trained(page, results):
    before = results("11-fine-tune-bert").evidence("judged").data
    after = page.evidence("test").data
    assert after["labels"] == before["labels"]
    assert after["threshold"] == before["threshold"]
    # Trained in BF16, asked in FP32: close calls may differ, the rest may not.
    assert after["probabilities"] == pytest.approx(before["probabilities"], abs=0.08)
    called = [int(p >= after["threshold"]) for p in after["probabilities"]]
    assert reference.f1_score(after["labels"], called) >= 0.93


def test_the_pages_pipeline_and_the_command_agree(page, folder):
    rows = page.evidence("unseen").data
    texts = [text for _, text in ours()]
    assert [row["text"] for row in rows] == [text[:60] for text in texts]
    predictions = Classifier.load(folder, precision="fp32").predict(texts)
    assert [p.label for p in predictions] == [row["model"] for row in rows]
    assert [p.spam_probability for p in predictions] == pytest.approx(
        [row["probability"] for row in rows], abs=0.01
    )


def test_the_folder_is_listed_with_its_owner(page, folder):
    listing, user = page.evidence("model-folder").data["steps"]
    lines = listing["stdout"].splitlines()[1:]
    assert {line.split()[-1] for line in lines} == {file.name for file in folder.iterdir()}
    assert {line.split()[2] for line in lines} == {user["stdout"].strip()}


def test_without_a_message_the_command_says_how_to_use_it(page):
    (step,) = page.evidence("no-message").data["steps"]
    assert step["exit_code"] == 2
    assert "no message" in step["stdout"]
    assert "spam_predict --help" in step["stdout"]
    assert "Traceback" not in step["stdout"]


def test_the_two_messages_of_the_chapter_are_ham_and_spam(page):
    (step,) = page.evidence("two-messages").data["steps"]
    labels = [line.split("\t")[0] for line in step["stdout"].splitlines() if "\t" in line]
    assert labels == ["ham", "spam"]


def test_the_page_says_which_of_them_is_in_the_collection(page):
    hey, mobile = page.evidence("seen-before").data
    assert (hey["times"], hey["part"]) == (0, None)
    texts = data.load().texts
    assert mobile["times"] == texts.count(mobile["text"]) >= 1
    _, _, split = data.prepare(seed=2023)
    assert mobile["text"] in getattr(split, mobile["part"]).texts


def test_the_unseen_messages_are_unseen_and_the_clear_ones_are_right(page):
    rows = page.evidence("unseen").data
    known = {data.fingerprint(text) for text in data.load().texts}
    assert not known & {data.fingerprint(row["text"]) for row in rows}
    assert all(row["times"] == 0 for row in rows)
    assert len(rows) >= 10
    threshold = page.evidence("test").data["threshold"]
    for row in rows:
        assert row["model"] == ("spam" if row["probability"] >= threshold else "ham")
    assert all(row["model"] == "ham" for row in rows if row["ours"] == "ham")
    spam_of_that_time = [row for row in rows if row["ours"] == "spam"][:3]
    assert all(row["model"] == "spam" for row in spam_of_that_time)


def test_all_mistakes_are_shown_and_nothing_else(page):
    test = page.evidence("test").data
    called = [int(p >= test["threshold"]) for p in test["probabilities"]]
    rows = page.evidence("mistakes").data
    wrong = reference.zero_one_loss(test["labels"], called, normalize=False)
    assert len(rows) == wrong
    for row in rows:
        assert (row["probability"] >= test["threshold"]) == (row["is"] == "ham")


def test_a_higher_threshold_hides_less_ham_and_misses_more_spam(page):
    cuts = sorted(page.evidence("thresholds").data, key=lambda row: row["threshold"])
    assert len({row["threshold"] for row in cuts}) >= 2
    test = page.evidence("test").data
    for row in cuts:
        called = [int(p >= row["threshold"]) for p in test["probabilities"]]
        (_, hidden), (missed, _) = reference.confusion_matrix(test["labels"], called).tolist()
        assert (row["false_spam"], row["missed_spam"]) == (hidden, missed)
        assert row["recall"] == pytest.approx(reference.recall_score(test["labels"], called))
        precision = reference.precision_score(test["labels"], called, zero_division=1.0)
        assert row["precision"] == pytest.approx(precision)
    for low, high in itertools.pairwise(cuts):
        assert high["false_spam"] <= low["false_spam"]
        assert high["missed_spam"] >= low["missed_spam"]


def test_the_careful_filter_is_the_boldest_that_is_precise_enough(page, folder):
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    valid = stored["validation_predictions"]

    def precise(threshold):
        called = [int(p >= threshold) for p in valid["probabilities"]]
        return reference.precision_score(valid["labels"], called) >= 0.99

    reaching = [p for p in valid["probabilities"] if precise(p)]
    cuts = {row["way"]: row for row in page.evidence("thresholds").data}
    assert cuts["careful"]["threshold"] == pytest.approx(min(reaching, default=1.0))
    assert cuts["highest F1"]["threshold"] == page.evidence("test").data["threshold"]


def test_disguises_are_judged_against_the_undisguised(page):
    shares = {row["way"]: row["found"] for row in page.evidence("attacks").data}
    test = page.evidence("test").data
    called = [int(p >= test["threshold"]) for p in test["probabilities"]]
    assert shares["as it is"] == pytest.approx(
        reference.recall_score(test["labels"], called), abs=0.02
    )
    assert shares["lower case"] == shares["as it is"], "the tokenizer lowers all letters itself"
    assert shares["spaced letters"] < shares["as it is"], "or nothing was disguised"
    assert all(0 <= share <= 1 for share in shares.values())


def test_batches_are_faster_than_one_at_a_time(page):
    speed = page.evidence("speed").data
    assert speed["messages"] == len(page.evidence("test").data["labels"])
    assert speed["ratio"] == pytest.approx(
        speed["messages_per_second"] / speed["one_at_a_time_messages_per_second"]
    )
    assert speed["ratio"] > 1.2
    assert speed["messages_per_second"] == pytest.approx(speed["messages"] / speed["seconds"])


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


# The exercises


def test_what_could_go_is_the_last_column_in_gb(page):
    answer = page.solution(2)
    total = answer.pop("total")
    before = page.evidence("clean-up").data["steps"][1]["stdout"]
    assert set(answer) == {"Images", "Containers", "Local Volumes", "Build Cache"}
    for line in before.splitlines()[1:]:
        name = next(n for n in answer if line.startswith(n))
        last = line.split("(")[0].split()[-1]
        size = answer[name]
        shown = {"GB": f"{size:.4g}GB", "MB": f"{size * 1e3:.4g}MB", "kB": f"{size * 1e6:.4g}kB"}
        assert shown.get(last[-2:], f"{size * 1e9:.4g}B") == last
    assert total == pytest.approx(sum(answer.values()))


def test_quiet_spam_is_new_and_mostly_missed(page):
    rows = page.solution(4)
    known = {data.fingerprint(text) for text in data.load().texts}
    assert not known & {data.fingerprint(row["text"]) for row in rows}
    assert [row["label"] for row in rows].count("ham") >= 2
