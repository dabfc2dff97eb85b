"""Scores, computed once more by scikit-learn."""

from __future__ import annotations

import pytest
from sklearn import metrics as reference


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
        "pr_auc": reference.average_precision_score(labels, probabilities),
    }
    assert {key: score[key] for key in expected} == pytest.approx(expected)
    for key in ("accuracy", "precision", "recall", "f1"):
        low, high = score[f"{key}_interval"]
        assert 0 <= low <= score[key] <= high <= 1
