"""Page 11: the loop on the page earns its scores, and what it saves works elsewhere."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as reference

from gpubook import machine
from gpubook.evidence import load_recording
from gpubook.spam import batches, metrics
from gpubook.spam.predict import Classifier
from tests.conftest import ROOT
from tests.notebooks import pages
from tests.notebooks.judge import average_precision

NOTEBOOK = "11-fine-tune-bert"
GPU = machine.probe().capabilities["gpu"].available
EPOCHS = 3


@pytest.fixture(scope="module")
def judged(page):
    return page.evidence("judged").data


def test_the_model_is_good_on_messages_it_has_never_seen(judged, split):
    # Families of near copies stay in one part, so these are scores on unseen kinds of messages.
    assert judged["labels"] == split["test"]["labels"]
    assert judged["f1"] >= 0.93
    assert judged["accuracy"] >= 0.98
    assert judged["pr_auc"] >= 0.98


def test_the_scores_are_those_of_the_predictions(judged):
    labels, p = judged["labels"], judged["probabilities"]
    called = [int(x >= judged["threshold"]) for x in p]
    for name in ("accuracy", "precision", "recall", "f1"):
        expected = getattr(reference, f"{name}_score")(labels, called)
        assert judged[name] == pytest.approx(expected), name
    assert judged["pr_auc"] == pytest.approx(average_precision(labels, p))
    ours = metrics.scores(labels, p, threshold=judged["threshold"])["f1_interval"]
    assert judged["f1_interval"] == pytest.approx(ours, abs=0.006)


def test_the_pages_loop_is_as_good_as_the_commands_within_the_intervals(judged):
    command = load_recording(ROOT / "recordings/h100" / NOTEBOOK / "training.json")["data"]
    assert command["test_predictions"]["labels"] == judged["labels"], "the same test part"
    low, high = judged["f1_interval"]
    low2, high2 = command["test_at_threshold"]["f1_interval"]
    assert max(low, low2) <= min(high, high2)


def test_the_threshold_was_chosen_on_validation_messages(judged, folder, split):
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    stored = stored["validation_predictions"]
    assert stored["labels"] == split["validation"]["labels"]
    p, noise = np.array(stored["probabilities"]), 1 / sum(stored["labels"])
    quality = {t / 50: reference.f1_score(stored["labels"], p >= t / 50) for t in range(1, 50)}
    chosen = reference.f1_score(stored["labels"], p >= judged["threshold"])
    assert all(chosen >= other - noise - 1e-9 for other in quality.values())
    library = metrics.best_threshold(stored["labels"], stored["probabilities"])
    assert abs(chosen - reference.f1_score(stored["labels"], p >= library)) <= noise + 1e-9


def test_the_loss_fell_and_every_epoch_was_scored(page, split):
    training = page.evidence("training").data
    assert [row["epoch"] for row in training["history"]] == list(range(1, EPOCHS + 1))
    losses = [loss for _, loss in training["losses"]]
    assert len(losses) == EPOCHS * -(-len(split["train"]["texts"]) // 32)
    tenth = len(losses) // 10
    assert sum(losses[-tenth:]) < 0.3 * sum(losses[:tenth])
    seconds = [t for t, _ in training["losses"]]
    assert seconds == sorted(seconds)
    for row in training["history"]:
        speed = len(split["train"]["texts"]) / row["seconds"]
        assert row["messages_per_second"] == pytest.approx(speed)
    assert training["training_seconds"] == pytest.approx(
        sum(row["seconds"] for row in training["history"])
    )


def test_the_machine_was_watched_during_the_whole_training(page):
    watch = page.evidence("watch").data
    times = [sample["seconds"] for sample in watch["samples"]]
    assert len(times) >= 5
    assert times == sorted(times)
    assert times[-1] >= page.evidence("training").data["training_seconds"]


def test_sorting_by_length_leaves_little_padding(page):
    all_to_128, random, by_length = (row["share"] for row in page.evidence("padding").data)
    assert all_to_128 > 0.75
    assert all_to_128 > random > 4 * by_length


@pytest.mark.parametrize("size", [4, 32])
def test_the_pages_batches_are_the_librarys(size):
    names = pages.names(NOTEBOOK, "batches")
    lengths = np.random.default_rng(1).integers(2, 128, 501).tolist()
    for epoch in (0, 1):
        ours = batches.plan(lengths, size, seed=2023, epoch=epoch)
        assert names["by_length"](lengths, size, [2023, epoch]) == ours


def test_the_pages_share_of_padding_is_the_librarys(page, split):
    given = {"lengths": [3, 5, 9, 2], "np": np, "SEED": 0, "BATCH_SIZE": 2}
    names = pages.names(NOTEBOOK, "batches", "padding-share", **given)
    plan = [[0, 1], [2, 3]]
    for width in (None, 12):
        ours = batches.padding_share(names["lengths"], plan, width=width)
        assert names["padding_share"](plan, width) == pytest.approx(ours)


def test_the_moment_of_nvidia_smi_is_this_gpus_or_a_recording(page):
    moment = page.evidence("nvidia-smi-training")
    if not moment.live:
        pytest.skip("no GPU here: the moment is replayed")
    samples = page.evidence("watch").data["samples"]
    highest = max(s["gpu_percent"] for s in samples if s["gpu_percent"] is not None)
    assert moment.data["gpu_percent"] == highest


def test_the_2023_reading_of_nvidia_smi_is_the_chapters():
    record = load_recording(ROOT / "recordings/a4000-2023" / NOTEBOOK / "nvidia-smi-training.json")
    assert record["provenance"]["machine"]["name"] == "a4000-2023"
    assert "2023" in record["provenance"]["source"]
    data = record["data"]
    assert (data["temperature_celsius"], data["gpu_percent"]) == (92, 96)
    assert (data["power_watts"], data["power_limit_watts"]) == (136, 140)
    assert data["gpu_memory_bytes"] == 3371 * 2**20
    assert data["gpu_memory_total_bytes"] == 16376 * 2**20


RECORDED = sorted((ROOT / "recordings").glob(f"*/{NOTEBOOK}/training.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.parent.name)
def test_a_recorded_training_on_a_gpu_was_watched(path):
    training, watch = (
        load_recording(path.with_name(f"{name}.json"))["data"] for name in ("training", "watch")
    )
    assert training["losses"] == watch["losses"]
    # A loop of plain PyTorch keeps an H100 waiting, so how busy it was is for the page to show.
    power = [s["power_watts"] for s in watch["samples"]]
    assert max(power) > 1.1 * min(power)
    assert max(s["gpu_percent"] for s in watch["samples"]) > 1
    assert watch["samples"][-1]["seconds"] >= training["training_seconds"]


def test_the_saved_folder_works_with_plain_transformers_and_no_network(page, judged, split, folder):
    sizes = {row["file"]: row["bytes"] for row in page.evidence("saved").data}
    assert sizes == {f.name: f.stat().st_size for f in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "metrics.json"} <= set(sizes)
    spam = [i for i, label in enumerate(judged["labels"]) if label][:8]
    ham = [i for i, label in enumerate(judged["labels"]) if not label][:8]
    texts = [split["test"]["texts"][i] for i in spam + ham]
    code = (
        "import json, sys; from transformers import pipeline\n"
        f"p = pipeline('text-classification', model={str(folder)!r}, device='cpu', top_k=None)\n"
        "rows = p(json.load(sys.stdin))\n"
        "print(json.dumps([{x['label']: x['score'] for x in row} for row in rows]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"},
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read = [row["spam"] for row in json.loads(done.stdout.splitlines()[-1])]
    expected = [judged["probabilities"][i] for i in spam + ham]
    # The page may have computed in BF16, with three digits; the pipeline computes in FP32.
    assert read == pytest.approx(expected, abs=0.08)


def test_the_command_reads_the_folder_and_predicts_what_the_page_did(judged, split, folder):
    classifier = Classifier.load(folder)
    assert classifier.threshold == judged["threshold"]
    again = classifier.probabilities(split["test"]["texts"][:100])
    assert again == pytest.approx(judged["probabilities"][:100], abs=0.03)


# The exercises


def test_those_who_disagree_are_counted_right(page, judged, results):
    answer = page.solution(1)
    linear = results("10-spam-data").evidence("baseline").data
    # Whatever one has right alone is the difference of what each has right at all.
    difference = round((linear["accuracy"] - judged["accuracy"]) * len(judged["labels"]))
    assert answer["tfidf"] - answer["bert"] == difference
    low, high = sorted([linear["f1_interval"], judged["f1_interval"]])
    assert answer["overlap"] is (high[0] <= low[1])


def test_a_careful_threshold_costs_recall(page, judged, folder):
    answer = page.solution(3)
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    part = stored["validation_predictions"]
    precision, _, thresholds = reference.precision_recall_curve(
        part["labels"], part["probabilities"], drop_intermediate=False
    )
    reaching = [t for p, t in zip(precision[:-1], thresholds, strict=True) if p >= 0.99]
    assert answer["threshold"] == pytest.approx(min(reaching, default=1.0))
    called = [int(p >= answer["threshold"]) for p in judged["probabilities"]]
    assert answer["recall"] == pytest.approx(reference.recall_score(judged["labels"], called))
    assert answer["precision"] == pytest.approx(reference.precision_score(judged["labels"], called))
    if answer["threshold"] >= judged["threshold"]:
        assert answer["recall"] <= judged["recall"]
