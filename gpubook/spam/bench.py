"""``gpubook bench train`` and ``bench predict``: both ways in one run, on the same split."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gpubook import machine
from gpubook.spam import assets, data, ladder
from gpubook.spam import train as training
from gpubook.spam.model import choose_backend
from gpubook.spam.predict import Classifier

VERSION = 1  # rises when a method below changes


def train(device: str | None = None, *, seeds: Sequence[int] = (0, 1, 2)) -> dict:
    """The 2023 way (some steps) beside ours (whole trainings, one a seed, with evaluation).

    ``ratio`` is our mean speed over the speed of the 2023 way, messages/s of training steps.
    ``seconds`` of a run counts all from reading the data to the saved folder.
    """
    backend = choose_backend(device or "auto")
    _, _, split = data.prepare(seed=0, progress=_silent)
    old = ladder.measure(
        ladder.ladder()[0], split.train, assets.model_path(), device=backend.device, timed=8
    )
    runs = []
    for seed in seeds:
        begin = time.perf_counter()
        _, _, split = data.prepare(seed=seed, progress=_silent)
        with tempfile.TemporaryDirectory() as folder:
            trained = training.train(
                split,
                Path(folder) / "model",
                recipe=training.Recipe(seed=seed),
                backend=backend,
                log=_silent,
            )
        test = trained.metrics["test_at_threshold"]
        runs.append(
            {
                "seed": seed,
                "seconds": time.perf_counter() - begin,
                "messages_per_second": trained.metrics["messages_per_second"],
                "f1": test["f1"],
                "accuracy": test["accuracy"],
                "pr_auc": test["pr_auc"],
            }
        )
    speed = sum(run["messages_per_second"] for run in runs) / len(runs)
    return {
        "bench": "train",
        "version": VERSION,
        "machine": machine.probe().describe(),
        "software": machine.probe().software,
        "backend": asdict(backend),
        "recipe": asdict(training.Recipe()),
        "as_in_2023": old,
        "runs": runs,
        "messages_per_second": speed,
        "ratio": speed / old["messages_per_second"],
        "f1_mean": sum(run["f1"] for run in runs) / len(runs),
    }


def predict(
    device: str | None = None, *, folder: Path | None = None, texts: Sequence[str] | None = None
) -> dict:
    """All messages of the collection, ours beside one at a time as the 2023 script does it.

    Without ``folder`` the small BERT with a new head is used: its answers mean nothing, its
    time is the same. ``seconds`` is one pass after loading and one warm-up call.
    """
    texts = list(texts or data.load(progress=_silent).texts)
    classifier = Classifier.load(folder or _untrained(), device=device or "auto")
    classifier.probabilities(texts[:64])
    begin = time.perf_counter()
    classifier.probabilities(texts)
    seconds = time.perf_counter() - begin
    some = texts[:: max(1, len(texts) // 50)]
    begin = time.perf_counter()
    for text in some:
        classifier.probabilities([text])
    single = (time.perf_counter() - begin) / len(some)
    return {
        "bench": "predict",
        "version": VERSION,
        "machine": machine.probe().describe(),
        "software": machine.probe().software,
        "backend": asdict(classifier.backend),
        "messages": len(texts),
        "seconds": seconds,
        "messages_per_second": len(texts) / seconds,
        "one_at_a_time_messages_per_second": 1 / single,
        "ratio": len(texts) / seconds * single,
    }


def _untrained() -> Path:
    from gpubook.spam.model import load_model, load_tokenizer

    folder = Path(tempfile.mkdtemp(prefix="gpubook-bench-"))
    source = assets.model_path(_silent)
    load_model(source).save_pretrained(folder)
    load_tokenizer(source).save_pretrained(folder)
    return folder


def _silent(_line: str) -> None:
    pass
