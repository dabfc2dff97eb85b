"""Scores, computed once more: by scikit-learn, and the area that it gives by hand."""

import pytest
from sklearn import metrics as reference


def average_precision(labels: list[int], probabilities: list[float]) -> float:
    """The area under precision over recall, as a sum of steps: one for each probability."""
    area = before = 0.0
    for step in sorted(set(probabilities), reverse=True):
        hits = [label for label, p in zip(labels, probabilities, strict=True) if p >= step]
        recall = sum(hits) / max(1, sum(labels))
        area, before = area + (recall - before) * sum(hits) / len(hits), recall
    return area


def assert_scores(score: dict, labels: list[int], probabilities: list[float]) -> None:
    """``score`` is what these labels and probabilities of spam give at its own threshold."""
    called = [int(p >= score["threshold"]) for p in probabilities]
    assert (score["messages"], score["spam"]) == (len(labels), sum(labels))
    cells = [score[k] for k in ("true_ham", "false_spam", "missed_spam", "true_spam")]
    assert cells == reference.confusion_matrix(labels, called).ravel().tolist()
    expected = {
        "accuracy": reference.accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called, zero_division=0.0),
        "recall": reference.recall_score(labels, called),
        "f1": reference.f1_score(labels, called),
        "pr_auc": average_precision(labels, probabilities),
    }
    assert {key: score[key] for key in expected} == pytest.approx(expected)
    for key in ("accuracy", "precision", "recall", "f1"):
        low, high = score[f"{key}_interval"]
        assert 0 <= low <= score[key] <= high <= 1
