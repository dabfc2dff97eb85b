"""Page 12: a ladder in rounds, with its spread; what is claimed of it is a wide ratio."""

import itertools
import os

import pytest
import transformers

from gpubook.evidence import load_recording
from gpubook.spam import assets
from tests.conftest import ROOT
from tests.notebooks import pages

NOTEBOOK = "12-what-makes-it-fast"


@pytest.fixture(scope="module")
def ladder(page):
    return page.evidence("ladder").data


def test_each_rung_has_its_spread_and_stands_over_the_first(ladder):
    assert [row["name"] for row in ladder][:3] == [
        "as in 2023",
        "pad to the batch's longest",
        "batches by length",
    ]
    for row in ladder:
        assert 0 < row["lowest"] <= row["messages_per_second"] <= row["highest"]
        assert row["ratio"] == pytest.approx(
            row["messages_per_second"] / ladder[0]["messages_per_second"]
        )
        assert row["mfu"] > 0


def test_less_padding_is_what_the_first_levers_bring(ladder):
    all_to_128, longest, by_length = (row["padding_share"] for row in ladder[:3])
    assert all_to_128 > 0.7
    assert all_to_128 > longest > by_length
    assert all(row["padding_share"] < 0.1 for row in ladder[2:])


def test_the_best_rung_is_several_times_the_first(ladder):
    # The best rung, and a wide margin: a short measurement on a shared machine.
    assert max(row["ratio"] for row in ladder) >= 3


def test_each_rung_changes_one_lever_of_the_rung_above():
    names = pages.names(NOTEBOOK, "ladder-code", device="cpu", bf16=True)
    rungs = list(names["ladder_of"].values())
    for above, rung in itertools.pairwise(rungs):
        assert sum(above[key] != rung[key] for key in rung) == 1
    first, last = rungs[0], rungs[-1]
    assert (first["pad_to"], first["size"], first["bf16"]) == (128, 16, False)
    assert last["by_length"] and last["fused"] and last["frozen"]


def test_the_operations_of_a_token_are_six_for_each_weight_of_a_layers_products(monkeypatch):
    monkeypatch.setenv("BERT", str(assets.model_path()))
    names = pages.names(NOTEBOOK, "mfu", os=os)
    config = transformers.AutoConfig.from_pretrained(assets.model_path())
    network = transformers.AutoModel.from_config(config)
    weights = sum(
        module.weight.numel()
        for name, module in network.encoder.named_modules()
        if hasattr(module, "weight") and "LayerNorm" not in name
    )
    assert names["flops_per_token"] == 6 * weights


def test_a_replayed_step_does_not_wait_for_python(page):
    eager, graph = page.evidence("graph").data
    assert (eager["way"], graph["way"]) == ("eager", "graph")
    assert graph["messages_per_second"] > 2 * eager["messages_per_second"]
    for row in (eager, graph):
        assert 0 < row["lowest"] <= row["messages_per_second"] <= row["highest"]


RECORDED = sorted((ROOT / "recordings").glob(f"*/{NOTEBOOK}/ladder.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.parent.name)
def test_a_recorded_ladder_of_the_commands_steps_ends_in_graphs_that_end_the_waiting(path):
    rungs = {row["name"]: row for row in load_recording(path)["data"]}
    if "CUDA graphs" not in rungs:
        pytest.skip("a ladder of this page, which measures the graph in a cell of its own")
    speed = {name: row["messages_per_second"] for name, row in rungs.items()}
    # Launching is the bound: less padding hardly helps, replayed launches do.
    assert speed["batches by length"] < 1.5 * speed["as in 2023"]
    assert speed["CUDA graphs"] > 5 * speed["fused AdamW"]
    assert speed["CUDA graphs"] > 20 * speed["as in 2023"]


# The exercises
