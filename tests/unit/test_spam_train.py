"""A training is repeatable, can be killed and resumed, and leaves a whole result or none.

The model here is tiny and starts from random weights: how well it learns is judged in the
notebook's tests, with the real one.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpubook.errors import BookError, UsageError
from gpubook.spam import batches, checkpoint, metrics, model, train
from gpubook.spam.model import Backend, ModelError, choose_backend, load_model
from gpubook.spam.predict import Classifier

from .spam_tiny import CPU, RECIPE, forked, run, synthetic, tiny_bert, undisturbed_run  # noqa: F401 - fixtures


def outcome(result):
    """All of a training's figures that do not depend on the clock."""
    clock = ("seconds", "per_second")
    return {k: v for k, v in result.items() if not any(c in k for c in clock) and k != "history"}


def test_it_learns_and_the_scores_are_those_of_the_stored_predictions(undisturbed):
    result = undisturbed.metrics
    stored = result["test_predictions"]
    assert stored["labels"] == list(synthetic().test.labels)
    again = metrics.scores(*stored.values(), threshold=result["threshold"])
    assert again == result["test_at_threshold"]
    assert again["f1"] > 0.9
    assert undisturbed.history[-1]["loss"] < undisturbed.history[0]["loss"]
    assert len(undisturbed.losses) == 2 * -(-len(synthetic().train) // 16)


def test_the_same_seed_gives_the_same_result_and_another_seed_another(tiny, undisturbed, tmp_path):
    again = run(tiny, tmp_path / "again")
    assert outcome(again.metrics) == outcome(undisturbed.metrics)
    other = replace(RECIPE, seed=1)
    different = run(tiny, tmp_path / "other", recipe=other)
    assert different.losses[0][1] != undisturbed.losses[0][1]


def test_the_pretrained_embeddings_stay_and_all_else_learns(tiny, tmp_path):
    run(tiny, tmp_path / "model", recipe=replace(RECIPE, train_embeddings=False))
    before, after = load_model(tiny).state_dict(), load_model(tmp_path / "model").state_dict()
    same = {name for name, value in after.items() if value.equal(before[name])}
    assert same == {name for name in after if name.startswith("bert.embeddings.")}


@pytest.mark.parametrize("step", [1, 5, 21, 30])
def test_stopped_at_any_step_it_resumes_to_the_same_figures(tiny, undisturbed, tmp_path, step):
    seen = []
    with pytest.raises(train.Interrupted, match="--resume"):
        run(tiny, tmp_path / "model", on_step=seen.append, stop=lambda: seen[-1] == step)
    assert not (tmp_path / "model").exists(), "no half-trained model passes for a result"
    resumed = run(tiny, tmp_path / "model", resume=True)
    assert outcome(resumed.metrics) == outcome(undisturbed.metrics)
    assert [loss for _, loss in resumed.losses] == [loss for _, loss in undisturbed.losses]
    assert not (tmp_path / "model.checkpoint").exists()


KILLED = """
def on_step(step):
    print(os.getpid(), step, flush=True)
for _ in range(2):
    child = os.fork()
    if not child:
        train.train(synthetic(), pathlib.Path({out!r}), model={tiny!r}, recipe=RECIPE, backend=CPU,
                    save_seconds=0.0, on_step=on_step, log=lambda line: None, resume=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "ended", flush=True)
"""


def test_kill_minus_nine_in_the_middle_of_an_epoch_costs_nothing(tiny, undisturbed, tmp_path):
    command = forked(KILLED, tiny=str(tiny), out=str(tmp_path / "model"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for until in (4, 25):  # in the first epoch, and again in the second
            killed = False
            for line in process.stdout:
                number, what = line.split()
                if what == "ended":
                    break
                if int(what) >= until and not killed:
                    os.kill(int(number), signal.SIGKILL)
                    killed = True
            assert (killed, int(number)) == (True, -signal.SIGKILL)
            assert not (tmp_path / "model").exists()
    steps = []
    resumed = run(tiny, tmp_path / "model", resume=True, on_step=steps.append)
    assert steps[0] >= 25, "it went on and did not start again"
    assert outcome(resumed.metrics) == outcome(undisturbed.metrics)


def test_a_checkpoint_of_another_recipe_is_refused(tiny, tmp_path):
    with pytest.raises(train.Interrupted):
        run(tiny, tmp_path / "model", stop=lambda: True)
    other = replace(RECIPE, learning_rate=1e-3)
    with pytest.raises(UsageError, match="another learning_rate"):
        run(tiny, tmp_path / "model", recipe=other, resume=True)


def without(*keys, **changes):
    def spoil(path):
        whole = checkpoint.load(path)
        kept = {key: value for key, value in whole.items() if key not in keys}
        checkpoint.save(kept | changes, path)

    return spoil


SPOILT = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("step 3"),
    "a list": lambda path: checkpoint.save([1, 2], path),
    "without a step": without("step"),
    "without an identity": without("identity"),
    "half an optimiser": without(stepper={"model": {}}),
    "a step that is a text": without(step="soon"),
    "losses that are a text": without(losses="none"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_damaged_checkpoint_is_one_line(tiny, tmp_path, name):
    with pytest.raises(train.Interrupted):
        run(tiny, tmp_path / "model", stop=lambda: True)
    SPOILT[name](tmp_path / "model.checkpoint" / "state.pt")
    with pytest.raises(checkpoint.StorageError, match="without --resume") as caught:
        run(tiny, tmp_path / "model", resume=True)
    assert "\n" not in str(caught.value)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save({"step": 1}, path)

    def full(scratch):
        scratch.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(checkpoint.StorageError, match="No space left on device") as caught:
        checkpoint.atomically(full, path)
    assert "\n" not in str(caught.value)
    assert checkpoint.load(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_torch_raises_on_a_really_full_device_is_understood(tmp_path):
    import torch

    def write(_scratch):
        with Path("/dev/full").open("wb") as file:
            torch.save({"weights": torch.zeros(300_000)}, file)

    with pytest.raises(checkpoint.StorageError, match="space"):
        checkpoint.atomically(write, tmp_path / "state.pt")


def test_a_folder_with_other_files_is_never_replaced(tiny, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        run(tiny, tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "years of work"


def test_an_older_result_is_replaced_whole(tiny, undisturbed, tmp_path):
    run(tiny, tmp_path / "model", recipe=train.Recipe(epochs=1, batch_size=64))
    run(tiny, tmp_path / "model")
    written = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert outcome(written).items() >= outcome(undisturbed.metrics).items()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_the_folder_loads_with_plain_transformers_and_no_network(undisturbed):
    asked = synthetic().test.texts[:6]
    code = (
        "import sys, json; from transformers import pipeline\n"
        f"p = pipeline('text-classification', model={str(undisturbed.folder)!r}, device='cpu')\n"
        f"print(json.dumps(p({list(asked)!r})))\n"
        "assert not any(m.startswith('gpubook') for m in sys.modules)\n"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=offline, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    ours = Classifier.load(undisturbed.folder, device="cpu", precision="fp32", threshold=0.5)
    for theirs, mine in zip(found, ours.predict(asked), strict=True):
        assert theirs["label"] == mine.label
        share = mine.spam_probability if mine.label == "spam" else 1 - mine.spam_probability
        assert theirs["score"] == pytest.approx(share, abs=1e-5)
    assert {row["label"] for row in found} == {"ham", "spam"}


def test_a_loss_that_is_not_finite_ends_the_training_in_one_line(tiny, tmp_path):
    wild = train.Recipe(epochs=2, batch_size=16, learning_rate=1e30, dropout=0.0)
    with pytest.raises(train.TrainingError, match="--learning-rate"):
        run(tiny, tmp_path / "model", recipe=wild)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"epochs": 0}])
def test_a_recipe_that_trains_nothing_is_one_line(tiny, tmp_path, wrong):
    with pytest.raises(UsageError, match="at least one message, one epoch and batches of one"):
        run(tiny, tmp_path / "model", recipe=replace(RECIPE, **wrong))


@pytest.mark.parametrize("stage", ["load_model", "_Run.epochs"])
def test_a_full_gpu_is_one_line_also_while_the_model_is_loaded(tiny, tmp_path, monkeypatch, stage):
    import torch

    def full(*_args, **_options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(f"gpubook.spam.train.{stage}", full)
    with pytest.raises(train.TrainingError, match="memory is full with --batch-size") as caught:
        run(tiny, tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_gpu_that_cannot_wake_leaves_the_report_to_the_training(monkeypatch):
    import torch

    def full(*_args, **_options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "zeros", full)
    model._first_step(Backend("cuda", "bf16"))


TWO = """
torch.set_num_threads(1)
for rank in range(2):
    if not os.fork():
        os.environ |= {{"RANK": str(rank), "LOCAL_RANK": str(rank)}}
        recipe = train.Recipe(epochs=2, batch_size=15, learning_rate=1e-3, dropout=0.0)
        train.train(synthetic(), pathlib.Path({out!r}), model={tiny!r}, recipe=recipe,
                    backend=CPU, world=join_world(), log=lambda line: None)
        os._exit(0)
sys.exit(sum(os.wait()[1] for _ in range(2)) > 0)
"""


def test_two_processes_agree_with_one(tiny, tmp_path):
    """Joined as torchrun does it, which the tests of scaling start."""
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        port = any_socket.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    done = subprocess.run(
        forked(TWO, tiny=str(tiny), out=str(tmp_path / "two")),
        env=os.environ | world | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["provenance"]["processes"] == 2
    quiet = train.Recipe(epochs=2, batch_size=15, learning_rate=1e-3, dropout=0.0)
    one = run(tiny, tmp_path / "one", recipe=quiet).metrics
    # Same rows, same average: only the order in which floats are added differs.
    assert [row["loss"] for row in two["history"]] == pytest.approx(
        [row["loss"] for row in one["history"]], rel=1e-3
    )
    assert two["test_predictions"]["probabilities"] == pytest.approx(
        one["test_predictions"]["probabilities"], abs=0.01
    )


def test_batches_by_length_hold_every_message_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(3, 128, 1000).tolist()
    drawn = batches.plan(lengths, 32, seed=0, epoch=1)
    assert sorted(i for batch in drawn for i in batch) == list(range(1000))
    assert drawn == batches.plan(lengths, 32, seed=0, epoch=1)
    assert drawn != batches.plan(lengths, 32, seed=0, epoch=2)
    assert batches.padding_share(lengths, drawn) < 0.03
    chance = [list(range(i, min(i + 32, 1000))) for i in range(0, 1000, 32)]
    assert batches.padding_share(lengths, chance) > 0.4


def test_padding_counts_what_is_computed_for_nothing():
    lengths, plan = [10, 40, 30, 30], [[0, 1], [2, 3]]
    assert batches.padding_share(lengths, plan) == pytest.approx(30 / 140)
    assert batches.padding_share(lengths, plan, width=50) == pytest.approx(90 / 200)


def test_the_usual_rate_grows_with_the_root_of_the_batch():
    assert train.usual_learning_rate(384, 32) == 1e-4
    assert train.usual_learning_rate(768, 32) == 5e-5
    assert train.usual_learning_rate(384, 128) == pytest.approx(2e-4)


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing():
    rates = [train.schedule(step, 100, 0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == 1.0
    assert rates.index(1.0) == 9
    assert rates[-1] == pytest.approx(1 / 90)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_a_model_that_is_none_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"config\.json") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_asking_for_a_gpu_that_is_not_there_is_misuse():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UsageError, match="--gpus all"):
        choose_backend("cuda")


def test_dropout_is_on_in_training_and_off_in_judging(tiny, tmp_path):
    """from_pretrained gives a model in evaluation mode: forgetting train() costs quality only."""
    on = run(tiny, tmp_path / "on", recipe=replace(RECIPE, epochs=1, dropout=0.5))
    off = run(tiny, tmp_path / "off", recipe=replace(RECIPE, epochs=1, dropout=0.0))
    assert on.losses[0][1] != off.losses[0][1], "the same start and batch, so dropout is on"
    classifier = Classifier.load(on.folder, device="cpu", precision="fp32")
    again = classifier.probabilities(synthetic().test.texts)
    assert again == on.metrics["test_predictions"]["probabilities"]


def test_no_test_message_is_used_before_the_end(tiny, tmp_path, monkeypatch):
    asked = []
    real = train._Run.probabilities
    monkeypatch.setattr(
        train._Run, "probabilities", lambda self, part: asked.append(part) or real(self, part)
    )
    run(tiny, tmp_path / "model")
    assert asked == ["validation"] * 3 + ["test"]


def test_unused_time_is_not_counted(undisturbed):
    assert undisturbed.metrics["training_seconds"] >= sum(
        row["seconds"] for row in undisturbed.history
    ) * (1 - 1e-9)
    assert time.perf_counter() > undisturbed.metrics["training_seconds"] > 0
    assert issubclass(train.Interrupted, BookError)
    assert train.Interrupted.exit_code == 130
