"""Notebooks 05 and 06 show what was measured: each figure under its own header, with its unit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gpubook.evidence import load_recording
from gpubook.spam import data, metrics, plots, show

RECORDED = Path(__file__).parents[2] / "recordings/h100/05-fine-tune-bert"


def cells(shown) -> list[dict[str, str]]:
    """A table's rows as a reader sees them, by header."""
    root = ET.fromstring(shown._repr_html_())
    heads = [th.text for th in root.iter("th")]
    rows = [[td.text for td in tr.iter("td")] for tr in root.iter("tr")]
    return [dict(zip(heads, row, strict=True)) for row in rows if row]


def recorded(name: str):
    return load_recording(RECORDED / f"{name}.json")["data"]


def test_the_counts_are_told_in_words_and_in_the_order_of_the_page():
    shown = cells(show.counts(recorded("data")))
    assert [row["Number"] for row in shown[:3]] == ["4837", "5574", "747"]
    assert not any("_" in row["Counted"] for row in shown)
    assert recorded("data")["sha256"].startswith(shown[-1]["Number"].rstrip("…"))


def test_scores_stand_under_their_names():
    score = metrics.scores([0, 0, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.3])
    (row,) = cells(show.scores({"ours": score}))
    assert (row["Way"], row["Accuracy"]) == ("ours", "0.6000")
    assert (row["Precision (spam)"], row["Recall (spam)"]) == ("0.5000", "0.5000")
    low, high = score["f1_interval"]
    assert row["F1, 95 % interval"] == f"{low:.3f} to {high:.3f}"


def test_the_confusion_says_what_was_called_what():
    labels, probabilities = [0, 0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.9, 0.1, 0.2, 0.3, 0.9]
    ham, spam = cells(show.confusion(metrics.scores(labels, probabilities)))
    assert (ham["called ham"], ham["called spam"]) == ("3", "1")
    assert (spam["called ham"], spam["called spam"]) == ("2", "1")


def test_an_epoch_has_its_own_scores_and_all_of_its_seconds():
    history = recorded("training")["history"]
    rows = cells(show.epochs(history))
    assert [row["Epoch"] for row in rows] == [str(epoch["epoch"]) for epoch in history]
    for row, epoch in zip(rows, history, strict=True):
        assert row["F1"] == f"{epoch['validation']['f1']:.3f}"
        assert row["With evaluation (s)"] == f"{epoch['seconds'] + epoch['evaluation_seconds']:.0f}"


def test_a_moment_is_told_in_the_units_of_nvidia_smi():
    moment = {
        "gpu_percent": 97, "gpu_memory_bytes": 2**30, "gpu_memory_total_bytes": 80 * 2**30,
        "power_watts": 349.6, "power_limit_watts": 700.0,
        "temperature_celsius": 61, "performance_state": 0,
    }  # fmt: skip
    told = {row["Column of nvidia-smi"]: row["Reading"] for row in cells(show.nvidia_smi(moment))}
    assert told == {
        "Temp": "61 °C",
        "Perf": "P0",
        "Pwr:Usage/Cap": "350 W of 700 W",
        "Memory-Usage": "1.00 GiB of 80.00 GiB",
        "GPU-Util": "97 %",
    }


def test_the_rungs_are_listed_and_drawn_in_their_order():
    rows = recorded("ladder")
    shown = cells(show.rungs(rows))
    assert [row["Each row adds"] for row in shown] == [row["name"] for row in rows]
    figure = plots.rungs(rows)
    (axes,) = figure.axes
    figure.canvas.draw()
    from_the_top = sorted(
        zip(axes.get_yticklabels(), axes.patches, strict=True),
        key=lambda pair: -pair[1].get_window_extent().y0,
    )
    assert [label.get_text() for label, _ in from_the_top] == [row["name"] for row in rows]
    widths = [bar.get_width() for _, bar in from_the_top]
    assert widths == [row["messages_per_second"] for row in rows]


@pytest.mark.parametrize(("device", "where"), [("cpu", "the processor"), ("cuda", "GPUs")])
def test_scaling_says_on_what_it_was_measured(device, where):
    gain = {"processes": 2, "batch_size": 32, "speed_up": 1.234, "efficiency": 0.617}
    told = {
        "job": {"device": device},
        "rows": [{"processes": 2, "speeds": {"32": {"messages_per_second": 55.55}}}],
        "strong": [gain],
        "weak": [gain | {"speed_up": 2.0, "efficiency": 1.0}],
    }
    shown = show.processes(told)
    assert repr(shown).startswith(f"Training steps on {where} of this machine")
    assert cells(shown) == [{"Processes": "2", "Batch of all": "32", "Messages/s": "55.5"}]
    strong, weak = cells(show.gains(told))
    assert (strong["Scaling"], strong["Times one process"]) == ("strong", "1.23")
    assert (weak["Scaling"], weak["Efficiency"]) == ("weak", "100%")


def test_files_name_their_owner_only_where_it_was_asked():
    row = {"file": "model.safetensors", "bytes": 3 * 2**20}
    (plain,) = cells(show.files([row]))
    assert plain == {"File": "model.safetensors", "Size (MiB)": "3.00"}
    (owned,) = cells(show.files([row | {"uid": 0, "you": 1000}]))
    assert (owned["Owner (uid)"], owned["You (uid)"]) == ("0", "1000")


def test_a_mistake_is_the_message_that_was_mistaken():
    part = data.Messages(("fine", "win " * 100), (0, 1), "")
    (row,) = cells(show.mistakes(part, [0.1, 0.2], [1]))
    assert (row["Is"], row["P(spam)"]) == ("spam", "0.200")
    assert re.fullmatch(r"(win )+(win)?", row["Message"])
    assert len(row["Message"]) <= 160


def test_the_curve_is_drawn_over_recall():
    points = [{"precision": 0.9, "recall": 0.2}, {"precision": 0.5, "recall": 0.8}]
    (axes,) = plots.precision_recall(points).axes
    (line,) = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.2, 0.8], [0.9, 0.5])
