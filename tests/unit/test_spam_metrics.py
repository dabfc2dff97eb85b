"""The scores agree with scikit-learn and with what one can count by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from gpubook.spam import metrics
from tests.notebooks.judge import average_precision

labelled = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=2, max_size=60
)


@settings(max_examples=150, deadline=None)
@given(labelled, st.integers(1, 19).map(lambda n: n / 20))
def test_scores_are_those_of_scikit_learn(pairs, threshold):
    labels, probabilities = zip(*pairs, strict=True)
    called = [int(p >= threshold) for p in probabilities]
    ours = metrics.scores(labels, probabilities, threshold=threshold)
    expected = reference.confusion_matrix(labels, called, labels=[0, 1]).ravel().tolist()
    keys = ("true_ham", "false_spam", "missed_spam", "true_spam")
    assert [ours[k] for k in keys] == expected
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(labels, called))
    options = {"zero_division": 0.0}
    assert ours["precision"] == pytest.approx(reference.precision_score(labels, called, **options))
    assert ours["recall"] == pytest.approx(reference.recall_score(labels, called, **options))
    assert ours["f1"] == pytest.approx(reference.f1_score(labels, called, **options))
    assert ours["pr_auc"] == pytest.approx(average_precision(labels, probabilities))


@settings(max_examples=100, deadline=None)
@given(labelled)
def test_no_threshold_is_better_by_more_than_a_message_or_two(pairs):
    labels, probabilities = zip(*pairs, strict=True)
    chosen = metrics.best_threshold(labels, probabilities)
    best = metrics.scores(labels, probabilities, threshold=chosen)["f1"]
    middles = {(a + b) / 2 for a in probabilities for b in probabilities if a != b}
    for threshold in middles:
        other = metrics.scores(labels, probabilities, threshold=threshold)["f1"]
        assert best >= other - 1 / max(1, sum(labels)) - 1e-12


def test_a_threshold_far_from_a_half_has_to_earn_it():
    labels = [0] * 80 + [1] * 20
    sure = [0.01] * 80 + [0.99] * 20
    assert metrics.best_threshold(labels, sure) == 0.5
    one_ham_high = [0.01] * 79 + [0.97] + [0.99] * 20
    assert metrics.best_threshold(labels, one_ham_high) == 0.5
    low = [0.01] * 80 + [0.2] * 15 + [0.3] * 5
    assert metrics.best_threshold(labels, low) == pytest.approx(0.105)


def test_all_ham_looks_good_by_accuracy_and_is_worth_nothing():
    score = metrics.scores([0] * 866 + [1] * 134, [0.0] * 1000)
    assert score["accuracy"] == pytest.approx(0.866)
    assert score["f1"] == score["recall"] == score["precision"] == 0.0
    assert score["pr_auc"] == pytest.approx(0.134)


def test_intervals_hold_the_value_and_shrink_with_more_messages():
    few = metrics.scores([1] * 10 + [0] * 90, [0.9] * 9 + [0.1] + [0.1] * 90)
    many = metrics.scores(([1] * 10 + [0] * 90) * 20, ([0.9] * 9 + [0.1] + [0.1] * 90) * 20)
    for key in ("accuracy", "precision", "recall", "f1"):
        low, high = few[f"{key}_interval"]
        assert 0 <= low <= few[key] <= high <= 1
        assert many[f"{key}_interval"][1] - many[f"{key}_interval"][0] < high - low


@pytest.mark.parametrize("trials", [1, 4, 58, 1000])
def test_an_interval_holds_its_share_at_both_ends_too(trials):
    assert metrics.wilson(0, trials)[0] == 0
    assert metrics.wilson(trials, trials)[1] == 1


def test_wilson_gives_the_published_example():
    # Newcombe, 1998, table I: 81 of 263 and 0 of 20.
    assert metrics.wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)
    assert metrics.wilson(0, 20) == pytest.approx([0.0, 0.1611], abs=1e-4)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="must match"):
        metrics.scores([0, 1], [0.5])
