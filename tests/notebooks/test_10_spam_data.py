"""Page 10: the whole collection was read, copies do not leak, and the baseline is no straw man."""

import collections
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from gpubook.spam import data, metrics
from tests.notebooks import pages
from tests.notebooks.judge import average_precision

NOTEBOOK = "10-spam-data"


def test_every_message_of_the_collection_was_counted(page):
    counted = page.evidence("data").data
    assert counted["messages"] == 5574
    assert counted["spam"] == 747
    assert counted["without_exact_copies"] == 5171
    assert counted["rows_of_the_file"] == 4837, "the careless way loses messages"


def test_the_pages_reading_and_the_librarys_give_the_same_messages():
    rows = [
        {"spam": "0", "text": "one\nspam\ttwo\n\nham\tthree\tfour"},
        {"spam": "1", "text": "five"},
    ]
    names = pages.names(NOTEBOOK, "whole-code", rows=rows)
    assert names["messages"] == [(0, "one"), (1, "two"), (0, "three\tfour"), (1, "five")]
    table = ",spam,text\n" + "\n".join(
        f'{n},{row["spam"]},"{row["text"]}"' for n, row in enumerate(rows)
    )
    records = data._from_wheel(table, Path("x"))
    assert names["messages"] == [(data.LABELS.index(label), text) for label, text in records]


def test_the_pages_families_are_the_librarys(page):
    messages = data.load()
    unique = messages.take(data.distinct(messages))
    families = data.families(unique)
    counted = page.evidence("data").data
    assert counted["families_of_near_copies"] == len(set(families))
    assert counted["largest_family"] == max(collections.Counter(families).values())


def test_the_pages_three_parts_are_the_librarys(page, split):
    _, _, library = data.prepare(seed=2023)
    for name, part in split.items():
        ours = getattr(library, name)
        assert (part["texts"], part["labels"]) == (list(ours.texts), list(ours.labels)), name
    rows = {row["part"]: row for row in page.evidence("split").data}
    assert list(rows) == ["train", "validation", "test"]
    for name, part in split.items():
        spam = sum(part["labels"])
        assert (rows[name]["messages"], rows[name]["spam"]) == (len(part["texts"]), spam)
        assert rows[name]["share"] == pytest.approx(653 / 5171, abs=0.005)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_pages_division_and_the_librarys_agree_for_any_seed(seed):
    labels = [int(i % 7 == 0) for i in range(300)]
    families = [i // 3 for i in range(300)]
    given = {"np": np, "labels": labels, "family": np.array(families), "SEED": seed}
    names = pages.names(NOTEBOOK, "split-code", **given)
    texts = data.Messages(tuple(map(str, range(300))), tuple(labels))
    split = data.split(texts, families=families, seed=seed)
    for name, part in names["divided"].items():
        assert [str(i) for i in part] == list(getattr(split, name).texts)


def test_the_baselines_scores_are_those_of_its_predictions(page, split):
    linear = page.evidence("baseline").data
    labels, probabilities = linear["labels"], linear["probabilities"]
    assert labels == split["test"]["labels"]
    called = [int(p >= 0.5) for p in probabilities]
    assert linear["f1"] == pytest.approx(reference.f1_score(labels, called))
    assert linear["pr_auc"] == pytest.approx(average_precision(labels, probabilities))
    assert linear["f1"] > 0.9, "no straw man"


def test_the_pages_interval_and_the_librarys_agree(page):
    linear = page.evidence("baseline").data
    ours = metrics.scores(linear["labels"], linear["probabilities"])["f1_interval"]
    assert linear["f1_interval"] == pytest.approx(ours, abs=0.006)
    low, high = linear["f1_interval"]
    assert low < linear["f1"] < high < low + 0.1


# The exercises


def test_copies_leak_from_a_random_split_and_not_from_the_pages(page):
    answer = page.solution(2)
    assert answer["honest"] == 0
    texts = data.load().texts
    order = np.random.default_rng(2023).permutation(len(texts)).tolist()
    cut = len(texts) // 5
    trained_on = collections.Counter(data.fingerprint(texts[i]) for i in order[cut:])
    asked = collections.Counter(data.fingerprint(texts[i]) for i in order[:cut])
    assert answer["messages"] == asked.total()
    assert answer["leaked"] == sum(n for text, n in asked.items() if trained_on[text]) > 0
