"""``gpubook bench train``, ``predict`` and ``scale``: all ways in one run, on the same split.

Speed on a GPU is measured with a BERT of the base size (Devlin et al., 2019: 12 layers, 768
wide, 110 M parameters) on random weights, so that no model hub is needed: the time of a step
does not depend on the values. Scores come from whole trainings of the small pretrained BERT.
Each way of training runs in a process of its own, so none finds a GPU warmed up by another.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from gpubook.errors import UsageError
from gpubook.evidence.bench import at_least, at_most
from gpubook.evidence.bench import result as bench_result
from gpubook.matmul import peaks
from gpubook.spam import assets, checkpoint, data, scaling, trainer
from gpubook.spam import train as training
from gpubook.spam.model import Backend, choose_backend, load_model, load_tokenizer, wake
from gpubook.spam.predict import Classifier

VERSION = 5  # rises when a method below changes

WAYS = ("chapter", "tuned", "ours", "frozen")
"""``Trainer`` as in 2023 and as well as it can, our training, and ours without the embeddings."""

SOME_STEPS = {"cpu": {"most_steps": 14, "skip": 2}, "cuda": {"most_steps": 60, "skip": 20}}
"""Of ``Trainer`` where only its steady speed is asked for. The chapter's way on a processor would
take a quarter of an hour."""

GPU_ROUNDS = 5
"""All go through the same messages; in the first, ``Trainer`` goes all its epochs, too."""

MUST = {
    "cuda": {"steady": 20.0, "steady_over_tuned": 6.0, "whole": 10.0},
    "cpu": {"steady": 10.0, "f1_mean": 0.97, "seconds": 150.0},
}
WEAK_ON_TWO = 1.8
SCALED_FROM = 64  # messages a step: the smallest batch that is divided among GPUs
PREDICT_SECONDS = {"cpu": 20.0, "cuda": 1.0}

Progress = Callable[[str], None]


def train(
    device: str | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress = lambda _line: None,
) -> dict:
    """The chapter's way through ``Trainer``, ``Trainer`` tuned, and ours; then scores by seed.

    ``rounds`` holds the ways as they were run one after the other, each with
    ``messages_per_second`` of steady training and ``seconds`` of the whole: reading data,
    loading, all epochs, saving; ours also validates after each epoch and tests. On a processor
    the others stop after some steps, and there is a round for each seed. ``ratios`` compare
    them. On a GPU all ways train everything, and ``frozen`` is ours without the embeddings;
    the others go all their epochs in the first of the rounds, and ``peak`` says what share of
    the card's printed BF16 rate ours reaches.
    ``quality`` holds one whole training a seed (at least one), with its scores; the seed
    draws the split, too. In a GPU's rounds, on random weights, scores mean nothing. All train on
    one GPU: on several, ``Trainer`` would share each batch out in Python, and be slower.
    """
    backend = choose_backend(device or "auto")
    on_gpu = backend.on_gpu
    with tempfile.TemporaryDirectory(prefix="gpubook-bench-") as scratch:
        small = str(assets.model_path())
        source = str(_base_sized(Path(scratch) / "base")) if on_gpu else small

        def measure(way: str, model: str, seed: int, *, whole: bool = False) -> dict:
            progress(f"{way} …")
            taken = _alone(way, model, scratch, backend, seed, whole)
            scored = f", F1 {taken['f1']:.4f}" if way == "ours" and model == small else ""
            speed = f"{taken['messages_per_second']:.0f} messages/s"
            progress(f"{way}: {speed}, {taken['seconds']:.1f} s{scored}")
            return taken

        # On a processor the trainings for the scores are of the same model, and each has the
        # other ways beside it, so that a machine that changes its speed changes all of them.
        ways = WAYS if on_gpu else WAYS[:-1]  # frozen is as ours is, on a processor
        runs = [(seed, False) for seed in seeds]
        if on_gpu:
            runs = [(seeds[0], number == 0) for number in range(GPU_ROUNDS)]
        rounds = [{w: measure(w, source, seed, whole=all_) for w in ways} for seed, all_ in runs]
        quality = [row["ours"] for row in rounds]
        if on_gpu:
            quality = [measure("ours", small, seed) for seed in seeds]
    result = bench_result(
        "train",
        VERSION,
        backend.kind,
        backend=asdict(backend),
        model="BERT-base shape, random weights" if on_gpu else "small BERT",
        rounds=rounds,
        peak=_share_of_peak(rounds) if on_gpu else None,
        ratios=_ratios(rounds, whole=on_gpu),
        quality=quality,
        f1_mean=statistics.mean(run["f1"] for run in quality),
    )
    return result | {"must": judge(result)}


def scale(*, progress: Progress = lambda _line: None) -> dict:
    """What more GPUs gain: :func:`gpubook.spam.scaling.measure` on 1, 2, 4, … of this machine's.

    Raises UsageError under torchrun, since the bench starts its processes itself, and where there
    are fewer than two GPUs.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError("the bench starts torchrun itself: run it as one process, without")
    import torch

    gpus = torch.cuda.device_count()
    if gpus < 2:
        raise UsageError(f"the bench scale compares GPUs, and here it finds {gpus}")
    backend = choose_backend("cuda")
    progress(f"1 to {gpus} GPUs …")
    with tempfile.TemporaryDirectory(prefix="gpubook-bench-") as scratch:
        source = str(_base_sized(Path(scratch) / "base"))
        job = scaling.job_for(backend, source, batch_size=SCALED_FROM, most=gpus)
        scaled = scaling.measure(job, [n for n in scaling.COUNTS if n <= gpus])
    model = "BERT-base shape, random weights"
    result = bench_result("scale", 1, "cuda", backend=asdict(backend), model=model, **scaled)
    return result | {"must": judge_scaling(scaled["weak"])}


def _ratios(rounds: Sequence[dict[str, dict]], *, whole: bool) -> dict[str, float]:
    """Medians over the rounds of what our way is times the others; of whole times, the first."""
    compared = {
        "steady": ("messages_per_second", "ours", "chapter"),
        "steady_over_tuned": ("messages_per_second", "ours", "tuned"),
    }
    if whole:  # the others went all their epochs
        compared["whole"] = ("seconds", "chapter", "ours")
        compared["whole_over_tuned"] = ("seconds", "tuned", "ours")
    return {
        name: statistics.median(
            ways[above][key] / ways[below][key]
            for ways in (rounds[:1] if key == "seconds" else rounds)
        )
        for name, (key, above, below) in compared.items()
    }


def _share_of_peak(rounds: Sequence[dict[str, dict]]) -> dict:
    """What our way computes of use, in TFLOP/s, and its share of the card's printed BF16 rate.

    Six operations per weight and token, two forward and four backward, in the matrix products of
    the layers; padding, attention and the head are not counted.
    """
    import torch
    import transformers

    bert = transformers.BertConfig()
    weights = bert.num_hidden_layers * bert.hidden_size * 2
    weights *= 2 * bert.hidden_size + bert.intermediate_size
    speed = statistics.median(ways["ours"]["messages_per_second"] for ways in rounds)
    tflops = 6 * weights * speed * rounds[0]["ours"]["tokens_per_message"] / 1e12
    peak = peaks.peak_of(torch.cuda.get_device_name())
    printed = peak and peak.tflops.get("bf16")
    return {
        "messages_per_second": speed,
        "tflops": tflops,
        "printed_tflops": printed,
        "share": tflops / printed if printed else None,
    }


def judge(result: dict) -> list[dict]:
    """What the bench promises, each with its value, its limit and whether it holds."""
    limits, ratios = MUST[result["device"]], result["ratios"]
    names = [name for name in ("steady", "steady_over_tuned", "whole") if name in limits]
    claims = [at_least(f"{name} ratio", ratios[name], limits[name]) for name in names]
    if "f1_mean" in limits:
        claims.append(at_least("mean spam F1", result["f1_mean"], limits["f1_mean"]))
        slowest = max(run["seconds"] for run in result["quality"])
        claims.append(at_most("seconds", slowest, limits["seconds"]))
    return claims


def judge_scaling(weak: Sequence[dict]) -> list[dict]:
    """What is promised of two GPUs that get twice the smallest batch."""
    return [
        at_least("weak scaling on 2 GPUs", row["speed_up"], WEAK_ON_TWO)
        for row in weak
        if (row["processes"], row["batch_size"]) == (2, 2 * SCALED_FROM)
    ]


def _alone(*arguments: object) -> dict:
    """Run `_way` in a fresh process and return what it says."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_way, *arguments).result()


def _way(way: str, source: str, scratch: str, backend: Backend, seed: int, whole: bool) -> dict:
    """One training, timed from reading the data to the saved model."""
    _see_one_gpu()
    _import_all()
    begin = time.perf_counter()
    own = way in ("ours", "frozen")
    if own:
        wake(backend)
    _, _, split = data.prepare(seed=seed, progress=_silent)
    prepared = time.perf_counter() - begin
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "model"
    size = training.BATCH_SIZE[backend.kind]
    if own:
        every = way == "ours" and backend.on_gpu
        recipe = training.Recipe(seed=seed, batch_size=size, train_embeddings=every)
        options = {"model": source, "recipe": recipe, "backend": backend, "log": _silent}
        told = _told(training.train(split, folder, **options), prepared) | {"seed": seed}
    else:
        settings = trainer.CHAPTER if way == "chapter" else trainer.tuned(backend, size)
        steps = {} if whole else SOME_STEPS[backend.kind]
        pad_all = way == "chapter"
        told = trainer.fit(split.train, source, folder, settings, pad_all=pad_all, **steps)
    return told | {"seconds": time.perf_counter() - begin}


def _see_one_gpu() -> None:
    """Hide all GPUs but the first from this process, before it asks for any."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = first


def _import_all() -> None:
    """Everything that any way imports, before a clock starts."""
    import accelerate  # noqa: F401 - Trainer needs it
    import scipy.sparse  # noqa: F401
    import torch  # noqa: F401
    import transformers

    for name in ("Trainer", "AutoTokenizer", "BertForSequenceClassification", "BertTokenizerFast"):
        getattr(transformers, name)


def _told(trained: training.Trained, prepared: float) -> dict:
    """What the bench keeps of a training of ours; ``prepared``: seconds for the data before it."""
    test = trained.metrics["test_at_threshold"]
    return {
        "recipe": trained.recipe,
        "stages": {"data": prepared} | trained.stages,
        # The first epoch sets up; the last is steady.
        "messages_per_second": trained.history[-1]["messages_per_second"],
        "training_seconds": trained.metrics["training_seconds"],
        "tokens_per_message": trained.metrics["tokens_per_message"],
        **{key: test[key] for key in ("f1", "f1_interval", "accuracy", "pr_auc")},
    }


def _base_sized(folder: Path) -> Path:
    """A folder with a BERT of the base size, on random weights, and a tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.BertForSequenceClassification(transformers.BertConfig()).save_pretrained(folder)
    load_tokenizer(assets.model_path(_silent)).save_pretrained(folder)
    return folder


def predict(
    device: str | None = None, *, folder: Path | None = None, texts: Sequence[str] | None = None
) -> dict:
    """All messages of the collection, ours beside one at a time as the 2023 script does it.

    Without ``folder`` the small BERT with a new head is used: its answers mean nothing, its
    time is the same. ``seconds`` is one pass after loading and one warm-up call.
    """
    texts = list(texts or data.load(progress=_silent).texts)
    with tempfile.TemporaryDirectory(prefix="gpubook-bench-") as scratch:
        classifier = Classifier.load(folder or _untrained(Path(scratch)), device=device or "auto")
    classifier.probabilities(texts[:300])
    begin = time.perf_counter()
    classifier.probabilities(texts)
    seconds = time.perf_counter() - begin
    some = texts[:: max(1, len(texts) // 50)]
    begin = time.perf_counter()
    for text in some:
        classifier.probabilities([text])
    single = (time.perf_counter() - begin) / len(some)
    kind = classifier.backend.kind
    return bench_result(
        "predict",
        VERSION,
        kind,
        backend=asdict(classifier.backend),
        messages=len(texts),
        seconds=seconds,
        messages_per_second=len(texts) / seconds,
        one_at_a_time_messages_per_second=1 / single,
        ratio=len(texts) / seconds * single,
        must=[at_most("seconds for all messages", seconds, PREDICT_SECONDS[kind])],
    )


def _untrained(folder: Path) -> Path:
    source = assets.model_path(_silent)
    load_model(source).save_pretrained(folder)
    load_tokenizer(source).save_pretrained(folder)
    checkpoint.mark(folder)
    return folder


def _silent(_line: str) -> None:
    pass
