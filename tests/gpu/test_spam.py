"""On a real GPU: training by CUDA graphs is the same training, only faster; it resumes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpubook.spam import batches, steps, train
from gpubook.spam.distributed import Alone
from gpubook.spam.model import Backend, load_model, load_tokenizer
from gpubook.spam.predict import Classifier
from tests.unit.spam_tiny import RECIPE, run, synthetic, tiny_bert  # noqa: F401 - a fixture

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).resolve().parents[2]
GPU = Backend("cuda", "fp32")
CALM = dataclasses.replace(RECIPE, dropout=0.0)


@pytest.fixture(scope="module", autouse=True)
def a_real_gpu():
    import torch

    assert torch.cuda.is_available(), "this lane is for machines with a GPU"


@pytest.mark.parametrize("plan_of", [batches.deal, batches.plan])
def test_replayed_graphs_give_the_losses_of_plain_steps(tiny, plan_of):
    import torch

    split = synthetic()
    encoded = batches.encode(load_tokenizer(tiny), split.train.texts)
    messages = steps.Encoded(encoded, split.train.labels, pad=0)
    plan = plan_of(messages.lengths, 16, seed=1)
    settings = steps.Settings(batch_size=16, weight_decay=0.01, seed=0, rates=[1e-3] * len(plan))
    losses, weights = {}, {}
    for kind in (steps.Eager, steps.Graphed):
        network = load_model(tiny, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        network = network.to("cuda").train()
        stepper = kind(network, messages, settings, GPU, Alone())
        stepper.begin_epoch(plan, 0)
        for number in range(len(plan)):
            stepper.step(number)
        losses[kind] = [done.loss for done in stepper.collect()]
        stepper.finish()
        weights[kind] = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert losses[steps.Graphed] == pytest.approx(losses[steps.Eager], rel=2e-3)
    difference = (weights[steps.Eager] - weights[steps.Graphed]).norm()
    assert difference < 2e-3 * weights[steps.Eager].norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_and_the_saved_model_is_the_trained_one(tiny, tmp_path, precision):
    backend = Backend("cuda", precision)
    trained = run(tiny, tmp_path / "model", backend=backend)
    assert trained.metrics["test_at_threshold"]["f1"] > 0.9
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert len(trained.losses) == 2 * -(-len(synthetic().train) // 16)
    assert sum(s for s in trained.stages.values()) > trained.metrics["training_seconds"]
    on_cpu = Classifier.load(tmp_path / "model", device="cpu")
    found = on_cpu.probabilities(synthetic().test.texts)
    expected = trained.metrics["test_predictions"]["probabilities"]
    assert found == pytest.approx(expected, abs=0.05 if precision == "bf16" else 1e-3)


@pytest.mark.parametrize("step", [1, 5, 21, 30])
def test_stopped_at_any_step_it_resumes_to_the_same_losses(tiny, tmp_path, step):
    whole = run(tiny, tmp_path / "whole", backend=GPU)
    seen = []
    with pytest.raises(train.Interrupted, match="--resume"):
        run(
            tiny, tmp_path / "model", backend=GPU,
            on_step=seen.append, stop=lambda: seen[-1] == step,
        )  # fmt: skip
    resumed = run(tiny, tmp_path / "model", backend=GPU, resume=True)
    assert len(resumed.losses) == len(whole.losses)
    before = [loss for _, loss in whole.losses]
    after = [loss for _, loss in resumed.losses]
    # The dropout's random numbers go on where they stopped; sums on a GPU may round otherwise.
    assert after == pytest.approx(before, rel=0.02, abs=0.005)
    f1 = [t.metrics["test_at_threshold"]["f1"] for t in (whole, resumed)]
    assert f1[0] == pytest.approx(f1[1], abs=0.02)


def test_a_checkpoint_of_a_processor_is_refused_in_one_line(tiny, tmp_path):
    with pytest.raises(train.Interrupted):
        run(tiny, tmp_path / "model", stop=lambda: True)
    with pytest.raises(train.UsageError, match="another kind of device"):
        run(tiny, tmp_path / "model", backend=GPU, resume=True)


def test_nccl_with_one_process_trains_as_one_process_alone(tiny, tmp_path):
    alone = run(tiny, tmp_path / "alone", backend=GPU, recipe=CALM)
    code = (
        "import json, sys, pathlib\n"
        "from gpubook.spam import train\n"
        "from gpubook.spam.distributed import Many\n"
        "from tests.unit.spam_tiny import RECIPE, run\n"
        "import dataclasses\n"
        "from gpubook.spam.model import Backend\n"
        "trained = run(sys.argv[1], pathlib.Path(sys.argv[2]), backend=Backend('cuda', 'fp32'),\n"
        "              recipe=dataclasses.replace(RECIPE, dropout=0.0), world=Many())\n"
        "print(json.dumps([loss for _, loss in trained.losses]))\n"
    )
    (tmp_path / "one.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1",
         str(tmp_path / "one.py"), str(tiny), str(tmp_path / "many")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    import json

    losses = json.loads(done.stdout.splitlines()[-1])
    assert losses == pytest.approx([loss for _, loss in alone.losses], rel=0.02, abs=0.005)
