"""The tables of notebooks 05 and 06: which columns, in which units, with how many digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpubook.evidence import table
from gpubook.spam.data import LABELS, Messages

MIB, GIB = 2**20, 2**30
_SHOWN = 160  # characters of a message that a row of mistakes shows


_COUNTED = {
    "rows_of_the_file": "Rows, as a CSV reader takes the file",
    "messages": "Messages",
    "spam": "Spam among them",
    "exact_copies": "Exact copies of another message",
    "without_exact_copies": "Messages without those copies",
    "families_of_near_copies": "Families among those (most hold one message)",
    "sha256": "SHA-256 of the file",
}


def counts(counted: Mapping[str, Any]) -> Any:
    """What `data.describe` counted, a row each; of the SHA-256 the first digits."""
    numbers = {**counted, "sha256": f"{counted['sha256'][:16]}…"}
    rows = [{"what": what, "number": numbers[key]} for key, what in _COUNTED.items()]
    return table(rows, {"what": "Counted", "number": "Number"})


def parts(rows: Sequence[dict]) -> Any:
    """The rows of `data.describe_split`."""
    columns = {
        "part": "Part",
        "messages": ("Messages", "d"),
        "spam": ("Spam", "d"),
        "share": ("Share of spam", ".1%"),
    }
    caption = "Each part has the same share of spam; no family is in two parts"
    return table(rows, columns, caption=caption)


def scores(ways: Mapping[str, dict]) -> Any:
    """Scores of `metrics.scores` on the test part, beside each other."""
    rows = []
    for way, score in ways.items():
        low, high = score["f1_interval"]
        rows.append(score | {"way": way, "interval": f"{low:.3f} to {high:.3f}"})
    columns = {
        "way": "Way",
        "accuracy": ("Accuracy", ".4f"),
        "precision": ("Precision (spam)", ".4f"),
        "recall": ("Recall (spam)", ".4f"),
        "f1": ("F1 (spam)", ".4f"),
        "interval": "F1, 95 % interval",
        "pr_auc": ("PR-AUC", ".4f"),
    }
    return table(rows, columns, caption="Scores on the test part")


def confusion(score: dict) -> Any:
    """The four counts of one score: what messages are, by what they were called."""
    rows = [
        {"is": "ham", "ham": score["true_ham"], "spam": score["false_spam"]},
        {"is": "spam", "ham": score["missed_spam"], "spam": score["true_spam"]},
    ]
    columns = {"is": "The message is", "ham": ("called ham", "d"), "spam": ("called spam", "d")}
    caption = f"BERT on {score['messages']} test messages, threshold {score['threshold']:.2f}"
    return table(rows, columns, caption=caption)


def padding(rows: Sequence[dict]) -> Any:
    """Ways to form batches, with the ``share`` of padding in what is computed."""
    return table(rows, {"way": "Padded", "share": ("Padding", ".1%")})


def epochs(history: Sequence[dict]) -> Any:
    """A training's epochs: `train.Trained.history`."""
    rows = [
        row["validation"]
        | {key: row[key] for key in ("epoch", "loss", "messages_per_second")}
        | {"seconds": row["seconds"] + row["evaluation_seconds"]}
        for row in history
    ]
    columns = {
        "epoch": ("Epoch", "d"),
        "loss": ("Loss", ".4f"),
        "precision": ("Precision", ".3f"),
        "recall": ("Recall", ".3f"),
        "f1": ("F1", ".3f"),
        "messages_per_second": ("Training (messages/s)", ".0f"),
        "seconds": ("With evaluation (s)", ".0f"),
    }
    return table(rows, columns, caption="Scores on the validation part after each epoch")


def machine(rows: Sequence[dict]) -> Any:
    """The rows of `telemetry.summary`."""
    columns = {"quantity": "Quantity", "mean": ("Mean", ".1f"), "highest": ("Highest", ".1f")}
    return table(rows, columns)


def nvidia_smi(moment: Mapping[str, Any]) -> Any:
    """One moment of `telemetry.busiest`, under the names that ``nvidia-smi`` prints."""
    gib = [moment[key] / GIB for key in ("gpu_memory_bytes", "gpu_memory_total_bytes")]
    watts = [moment[key] for key in ("power_watts", "power_limit_watts")]
    readings = {
        "Temp": f"{moment['temperature_celsius']} °C",
        "Perf": f"P{moment['performance_state']}",
        "Pwr:Usage/Cap": "{:.0f} W of {:.0f} W".format(*watts),
        "Memory-Usage": "{:.2f} GiB of {:.2f} GiB".format(*gib),
        "GPU-Util": f"{moment['gpu_percent']} %",
    }
    rows = [{"what": what, "is": reading} for what, reading in readings.items()]
    return table(rows, {"what": "Column of nvidia-smi", "is": "Reading"})


def rungs(rows: Sequence[dict]) -> Any:
    """The rows of `ladder.climb`."""
    columns = {
        "name": "Each row adds",
        "messages_per_second": ("Messages/s", ".1f"),
        "ratio": ("Times the first", ".1f"),
        "padding_share": ("Padding", ".0%"),
        "tflops": ("Useful TFLOP/s", ".3f"),
        "mfu": ("MFU", ".1%"),
    }
    return table(rows, columns)


def processes(told: dict) -> Any:
    """The speeds of `scaling.measure`, by the number of processes and the batch of all."""
    where = {"cpu": "the processor", "cuda": "GPUs"}[told["job"]["device"]]
    rows = [
        speed | {"processes": row["processes"], "batch": int(size)}
        for row in told["rows"]
        for size, speed in row["speeds"].items()
    ]
    columns = {
        "processes": ("Processes", "d"),
        "batch": ("Batch of all", "d"),
        "messages_per_second": ("Messages/s", ".1f"),
    }
    return table(rows, columns, caption=f"Training steps on {where} of this machine")


def gains(told: dict) -> Any:
    """Strong and weak scaling of `scaling.measure`."""
    rows = [{"kind": kind} | row for kind in ("strong", "weak") for row in told[kind]]
    columns = {
        "kind": "Scaling",
        "processes": ("Processes", "d"),
        "batch_size": ("Batch of all", "d"),
        "speed_up": ("Times one process", ".2f"),
        "efficiency": ("Efficiency", ".0%"),
    }
    caption = "Strong: beside the same batch on one. Weak: beside one process's share of it"
    return table(rows, columns, caption=caption)


def files(rows: Sequence[dict]) -> Any:
    """Files with ``bytes``; where rows have a ``uid``, with their owner and ``you`` beside it."""
    columns: dict[str, str | tuple[str, str]] = {"file": "File", "mib": ("Size (MiB)", ".2f")}
    if any("uid" in row for row in rows):
        columns |= {"uid": "Owner (uid)", "you": "You (uid)"}
    return table([row | {"mib": row["bytes"] / MIB} for row in rows], columns)


def seen(rows: Sequence[dict]) -> Any:
    """Messages with how often the collection has them, and in which part of the split."""
    columns = {
        "text": "Message",
        "times": ("Times in the collection", "d"),
        "part": "Part of our split",
    }
    return table(rows, columns)


def unseen(rows: Sequence[dict]) -> Any:
    """Messages with our label beside the model's."""
    columns = {
        "ours": "We say",
        "label": "Model says",
        "probability": ("P(spam)", ".3f"),
        "text": "Message",
    }
    return table(rows, columns)


def mistakes(part: Messages, probabilities: Sequence[float], wrong: Sequence[int]) -> Any:
    """The messages of a part at the indices ``wrong``, each with its label and P(spam)."""
    rows = [
        {"label": LABELS[part.labels[i]], "p": probabilities[i], "text": part.texts[i][:_SHOWN]}
        for i in wrong
    ]
    columns = {"label": "Is", "p": ("P(spam)", ".3f"), "text": "Message"}
    return table(rows, columns, caption=f"{len(wrong)} of {len(part)} test messages")


def thresholds(rows: Sequence[dict]) -> Any:
    """Scores of `metrics.scores`, one a threshold, each with the ``way`` it was chosen."""
    columns = {
        "way": "Filter",
        "threshold": ("Threshold", ".3f"),
        "precision": ("Precision", ".3f"),
        "recall": ("Recall", ".3f"),
        "false_spam": ("Ham hidden", "d"),
        "missed_spam": ("Spam missed", "d"),
    }
    return table(rows, columns, caption="What each threshold does to the test messages")


def attacks(rows: Sequence[dict]) -> Any:
    """Disguises, with the share of spam that is still ``found``."""
    return table(rows, {"way": "Disguise", "found": ("Spam still found", ".0%")})


def speed(told: dict) -> Any:
    """The two ways of `bench.predict`."""
    rows = [
        {"way": "one at a time", "speed": told["one_at_a_time_messages_per_second"]},
        {"way": "in batches by length", "speed": told["messages_per_second"]},
    ]
    return table(rows, {"way": "Way", "speed": ("Messages/s", ".0f")})
