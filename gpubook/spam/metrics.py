"""Scores of a spam classifier, from labels and probabilities alone.

Spam is the positive class. With 13 % spam, accuracy flatters: calling everything ham is right
87 times in 100. So precision, recall, F1 and PR-AUC come with it, each with its uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


def scores(
    labels: Sequence[int],
    probabilities: Sequence[float],
    *,
    threshold: float = 0.5,
    seed: int = 0,
) -> dict[str, float | int | list[float]]:
    """Score ``probabilities`` of spam against ``labels`` (0 ham, 1 spam), equally long.

    Keys: ``messages``, ``spam``, ``threshold``, the confusion matrix ``true_ham`` (correct),
    ``false_spam``, ``missed_spam``, ``true_spam``; ``accuracy``, ``precision``, ``recall``,
    ``f1``, ``pr_auc`` (average precision); and 95 % intervals ``…_interval`` as [low, high]:
    Wilson for accuracy, precision and recall, a bootstrap over the confusion matrix for F1, which
    ``seed`` draws.
    """
    from sklearn.metrics import average_precision_score, confusion_matrix

    actual = np.asarray(labels, dtype=int)
    probability = np.asarray(probabilities, dtype=float)
    if actual.shape != probability.shape or actual.ndim != 1 or not actual.size:
        raise ValueError(f"labels {actual.shape} and probabilities {probability.shape} must match")
    called = probability >= threshold
    tn, fp, fn, tp = confusion_matrix(actual, called, labels=[0, 1]).ravel().tolist()
    n = actual.size
    return {
        "messages": int(n),
        "spam": int(actual.sum()),
        "threshold": float(threshold),
        "true_ham": tn,
        "false_spam": fp,
        "missed_spam": fn,
        "true_spam": tp,
        "accuracy": (tn + tp) / n,
        "precision": _share(tp, tp + fp),
        "recall": _share(tp, tp + fn),
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "pr_auc": float(average_precision_score(actual, probability)) if actual.any() else 0.0,
        "accuracy_interval": wilson(tn + tp, n),
        "precision_interval": wilson(tp, tp + fp),
        "recall_interval": wilson(tp, tp + fn),
        "f1_interval": f1_interval(tn, fp, fn, tp, seed=seed),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def wilson(successes: int, trials: int) -> list[float]:
    """95 % interval of a share (Wilson, 1927); unlike p ± 2σ it stays within 0 and 1.

    scipy.stats has it, and takes a second to import.
    """
    if not trials:
        return [0.0, 1.0]
    p, z2 = successes / trials, Z95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    # At the ends the formula gives 0 and 1; computed in floating point it misses them.
    low = centre - half if successes else 0.0
    high = centre + half if successes < trials else 1.0
    return [low, high]


def f1_interval(
    tn: int, fp: int, fn: int, tp: int, *, draws: int = 4000, seed: int = 0
) -> list[float]:
    """95 % interval of F1: resampling messages only moves counts between the four cells."""
    n = tn + fp + fn + tp
    cells = np.random.default_rng(seed).multinomial(n, np.array([tn, fp, fn, tp]) / n, size=draws)
    bottom = 2 * cells[:, 3] + cells[:, 1] + cells[:, 2]
    values = np.divide(2 * cells[:, 3], bottom, out=np.zeros(draws), where=bottom > 0)
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]


def best_threshold(labels: Sequence[int], probabilities: Sequence[float]) -> float:
    """A threshold of highest F1, to be chosen on validation data and never on test data.

    It lies midway between two neighbouring probabilities. Of all thresholds whose F1 is within
    1 / (number of spam messages) of the highest, which is what one or two messages decide, the
    one nearest to 0.5 wins: so few messages do not tell 0.5 from 0.98.
    """
    actual = np.asarray(labels, dtype=int)
    probability = np.asarray(probabilities, dtype=float)
    steps = np.unique(probability)
    candidates = np.append((steps[1:] + steps[:-1]) / 2, 0.5)
    called = probability >= candidates[:, None]
    f1 = 2 * (called & (actual == 1)).sum(1) / np.maximum(1, called.sum(1) + actual.sum())
    good = candidates[f1 >= f1.max() - 1 / max(1, actual.sum())]
    return float(good[np.argmin(np.abs(good - 0.5))])
