"""Fine-tune a BERT on SMS spam: short batches, BF16, scores each epoch, killed and resumed.

What makes it fast is mostly not computing: messages sorted by length need almost no padding.
What makes it trustworthy: three-way split, scores after each epoch, and a checkpoint from which
a killed run goes on to the same figures as an undisturbed one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpubook.errors import BookError, UsageError
from gpubook.spam import assets, batches, checkpoint, metrics
from gpubook.spam.data import Split
from gpubook.spam.distributed import Alone, World
from gpubook.spam.model import (
    Backend,
    choose_backend,
    freeze_embeddings,
    load_model,
    load_tokenizer,
    wake,
)
from gpubook.spam.steps import Encoded, Settings, stepper_for

BATCH_SIZE = {"cpu": 32, "cuda": 256}
"""What fills each device: a larger batch makes a GPU's kernels larger, and it waits less."""


class TrainingError(BookError):
    """The training cannot go on here (out of memory, loss not finite)."""


class Interrupted(BookError):
    """Asked to stop (Ctrl-C, SIGTERM) after writing a checkpoint."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the result, beside the data, the starting model and the precision."""

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float | None = (
        None  # peak; warm-up in a line, then down to zero; None: usual_learning_rate
    )
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01
    dropout: float = 0.1  # without it a few thousand messages are soon learnt by heart
    train_embeddings: bool = False  # half the weights of a small BERT, which hardly move
    max_length: int = batches.MAX_LENGTH  # tokens
    seed: int = 2023


@dataclass(frozen=True)
class Trained:
    """A finished training; ``metrics`` is what metrics.json holds."""

    folder: Path
    history: list[dict]  # one entry an epoch: loss, seconds, messages/s, validation scores
    losses: list[tuple[float, float]]  # (seconds since start, loss of a batch)
    metrics: dict
    recipe: dict  # as used, with the learning rate that was chosen
    stages: dict[str, float]  # seconds: load, train (with validation), test and save


Log = Callable[[str], None]
_GO_ON, _SAVE, _STOP = range(3)  # what a process wishes after a step; the highest of all counts
_LINE_SECONDS = 1.0  # the shortest between two lines of progress


def train(
    split: Split,
    folder: Path,
    *,
    model: str | Path | None = None,
    recipe: Recipe = Recipe(),
    backend: Backend | None = None,
    resume: bool = False,
    save_seconds: float = 60.0,
    world: World | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[int], None] = lambda _step: None,
    log: Log = print,
    provenance: dict | None = None,
) -> Trained:
    """Fine-tune ``model`` (default: the fetched small BERT) and save the result in ``folder``.

    A checkpoint is written every ``save_seconds``, and a training that took less has none; with
    ``resume`` the training goes on from it. ``stop`` is asked after each step; when it says
    True, a checkpoint is written and Interrupted raised. ``on_step`` is told the number of each
    step; on a GPU the step is then queued and may still run.
    """
    import torch

    world = world or Alone()
    backend = backend or choose_backend()
    wake(backend)
    source = model or assets.model_path(log)
    checkpoint.refuse_foreign_folder(folder)
    saved = folder.parent / f"{folder.name}.checkpoint"
    stages = _Stages()
    try:
        run = _Run(split, str(source), recipe, backend, world)
        if resume:
            run.restore(saved, log)
        stages.end("load")
        run.epochs(saved, save_seconds=save_seconds, stop=stop, on_step=on_step, log=log)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU's memory is full with --batch-size {recipe.batch_size}; use a smaller one "
            f"(half, say), or free the GPU: `nvidia-smi` lists who uses it."
        ) from error
    stages.end("train")
    result = run.finish(folder, provenance or {})
    if world.first:
        shutil.rmtree(saved, ignore_errors=True)
        log(f"Saved in {folder}: model, tokenizer, metrics.json")
    world.wait()
    stages.end("test and save")
    return Trained(folder, run.history, run.losses, result, asdict(run.recipe), stages.seconds)


class _Stages:
    """How long each stage took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


def _load(split: Split, source: str, recipe: Recipe, backend: Backend) -> tuple[Any, Any, dict]:
    """Tokenizer, network and the token ids of each part: the latter two take about as long, and
    are made side by side."""
    import torch

    torch.manual_seed(recipe.seed)
    tokenizer = load_tokenizer(source)
    # Only the tokens are made in another thread: transformers' own lazy imports bear no company.
    with ThreadPoolExecutor(max_workers=1) as pool:
        encoding = pool.submit(_encode, tokenizer, split, recipe)
        network = load_model(
            source,
            hidden_dropout_prob=recipe.dropout,
            attention_probs_dropout_prob=recipe.dropout,
            classifier_dropout=recipe.dropout,
            attn_implementation="sdpa",
        ).to(backend.device)
        if not recipe.train_embeddings:
            freeze_embeddings(network)
        encoded = encoding.result()
    wake(backend).join()
    if backend.on_gpu:
        torch.cuda.manual_seed(recipe.seed)
    return tokenizer, network, encoded


def _encode(tokenizer, split: Split, recipe: Recipe) -> dict[str, list[list[int]]]:
    """The token ids of each part; a longest length of the recipe's is for training alone."""
    return {
        "train": batches.encode(tokenizer, split.train.texts, max_length=recipe.max_length),
        "validation": batches.encode(tokenizer, split.validation.texts),
        "test": batches.encode(tokenizer, split.test.texts),
    }


class _Run:
    """The state of one training: what a checkpoint stores, and the steps that change it."""

    def __init__(self, split: Split, source: str, recipe: Recipe, backend: Backend, world: World):
        self.tokenizer, network, self.encoded = _load(split, source, recipe, backend)
        if recipe.learning_rate is None:
            rate = usual_learning_rate(network.config.hidden_size, recipe.batch_size)
            recipe = replace(recipe, learning_rate=rate)
        self.split, self.network, self.source = split, network, source
        self.recipe, self.backend, self.world = recipe, backend, world
        self.pad = self.tokenizer.pad_token_id or 0
        messages = Encoded(self.encoded["train"], split.train.labels, pad=self.pad)
        self.messages = messages
        if min(len(messages), recipe.epochs, recipe.batch_size) < 1:
            raise UsageError("training needs at least one message, one epoch and batches of one")
        self.steps_per_epoch = -(-len(messages) // recipe.batch_size)
        self.total_steps = self.steps_per_epoch * recipe.epochs
        settings = Settings(
            batch_size=recipe.batch_size,
            weight_decay=recipe.weight_decay,
            seed=recipe.seed,
            rates=[
                recipe.learning_rate * schedule(step, self.total_steps, recipe.warmup)
                for step in range(self.total_steps)
            ],
        )
        network.train()  # from_pretrained leaves it in evaluation mode, with dropout off
        kind = stepper_for(network, backend)
        self.stepper = kind(network, self.messages, settings, backend, world)
        self.step = 0
        self.seconds = 0.0  # of training in all, over resumes
        self.epoch_seconds = 0.0
        self.epoch_loss = 0.0
        self.history: list[dict] = []
        self.losses: list[tuple[float, float]] = []

    # -- the loop ---------------------------------------------------------------------------

    def epochs(self, saved: Path, *, save_seconds: float, stop, on_step, log: Log) -> None:
        last_save = self._last_line = time.monotonic()
        while self.step < self.total_steps:
            epoch, done = divmod(self.step, self.steps_per_epoch)
            plan = self.stepper.plan(epoch)
            self.stepper.begin_epoch(plan, self.step - done)
            for _ in plan[done:]:
                self.stepper.step(self.step)
                self.step += 1
                on_step(self.step)
                ended = self.step % self.steps_per_epoch == 0
                if not ended:
                    self._report(log)
                due = not ended and time.monotonic() - last_save > save_seconds
                wish = self.world.highest(_STOP if stop() else _SAVE if due else _GO_ON)
                if wish != _GO_ON:
                    self._collect()
                    self._checkpoint(saved)
                    self.stepper.idle()
                    last_save = time.monotonic()
                if wish == _STOP:
                    raise Interrupted(
                        f"Stopped after step {self.step} of {self.total_steps}; "
                        f"the same command with --resume goes on from here."
                    )
            self._collect()
            self._end_epoch(epoch, log)
            due = time.monotonic() - last_save > save_seconds
            if self.step < self.total_steps and self.world.highest(_SAVE if due else _GO_ON):
                self._checkpoint(saved)
                last_save = time.monotonic()
        self.stepper.finish()

    def _collect(self) -> None:
        """Account for the steps that have finished."""
        for done in self.stepper.collect():
            if not np.isfinite(done.loss):
                raise TrainingError(
                    f"The loss is {done.loss} at step {len(self.losses) + 1}; "
                    f"use a smaller --learning-rate."
                )
            self.epoch_loss += done.loss * done.messages
            self.seconds += done.seconds
            self.epoch_seconds += done.seconds
            self.losses.append((self.seconds, done.loss))

    def _end_epoch(self, epoch: int, log: Log) -> None:
        begin = time.perf_counter()
        probability = self.probabilities("validation")
        score = metrics.scores(self.split.validation.labels, probability, seed=self.recipe.seed)
        self.history.append(
            {
                "epoch": epoch + 1,
                "loss": self.epoch_loss / len(self.messages),
                "seconds": self.epoch_seconds,
                "messages_per_second": len(self.messages) / self.epoch_seconds,
                "evaluation_seconds": time.perf_counter() - begin,
                "validation": score,
            }
        )
        if self.world.first:
            row = self.history[-1]
            log(
                f"epoch {epoch + 1}/{self.recipe.epochs}: loss {row['loss']:.4f}, validation "
                f"spam F1 {score['f1']:.3f} (precision {score['precision']:.3f}, recall "
                f"{score['recall']:.3f}), {row['messages_per_second']:.0f} messages/s"
            )
        self.epoch_loss = self.epoch_seconds = 0.0

    def _report(self, log: Log) -> None:
        """At most ten lines of progress an epoch, with the time left at the speed so far."""
        if self.step % max(1, self.steps_per_epoch // 10):
            return
        # Asking a GPU means waiting for it. Several processes must ask at the same step.
        soon = time.monotonic() - self._last_line < _LINE_SECONDS
        if self.backend.on_gpu and self.world.size == 1 and soon:
            return
        self._last_line = time.monotonic()
        self._collect()
        done = self.step % self.steps_per_epoch
        left = self.seconds / self.step * (self.total_steps - self.step)
        speed = done * self.recipe.batch_size / self.epoch_seconds
        if self.world.first:
            log(
                f"  step {self.step}/{self.total_steps}: loss {self.losses[-1][1]:.4f}, "
                f"{speed:.0f} messages/s, {left:.0f} s left"
            )

    def probabilities(self, part: str) -> list[float]:
        """Probability of spam of each message of a part; the work is shared by all processes."""
        encoded = self.encoded[part]
        return self.world.gather(
            len(encoded),
            lambda mine: probabilities_of(
                self.network, [encoded[i] for i in mine], pad=self.pad, backend=self.backend
            ),
        )

    # -- checkpoints ------------------------------------------------------------------------

    def identity(self) -> dict:
        """What must be equal for a checkpoint to be continued."""
        return {
            **asdict(self.recipe),
            "model": self.source,
            "precision": self.backend.precision,
            "kind of device": "GPU" if self.backend.on_gpu else "CPU",
            "data": self.split.train.sha256,
            "messages": len(self.messages),
        }

    def _checkpoint(self, saved: Path) -> None:
        import torch

        if self.world.first:
            state = {
                "identity": self.identity(),
                "step": self.step,
                "seconds": self.seconds,
                "epoch_seconds": self.epoch_seconds,
                "epoch_loss": self.epoch_loss,
                "history": json.dumps(self.history),
                "losses": [list(pair) for pair in self.losses],
                "stepper": self.stepper.state(),
                "random": torch.get_rng_state(),
            }
            checkpoint.save(state, saved / "state.pt")
        self.world.wait()

    def restore(self, saved: Path, log: Log) -> None:
        import torch

        path = saved / "state.pt"
        if not path.is_file():
            log(f"No checkpoint in {saved}: starting from the beginning.")
            return
        with checkpoint.reading(path):
            state = checkpoint.load(path)
            mine = self.identity()
            changed = [key for key, value in mine.items() if value != state["identity"][key]]
            if changed:
                raise UsageError(
                    f"--resume: {path} was made with another {', '.join(changed)}; repeat the "
                    f"first command's options, or start again without --resume"
                )
            self.stepper.restore(state["stepper"])
            torch.set_rng_state(state["random"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.epoch_seconds = float(state["epoch_seconds"])
            self.epoch_loss = float(state["epoch_loss"])
            self.history = [dict(row) for row in json.loads(state["history"])]
            self.losses = [(float(a), float(b)) for a, b in state["losses"]]
        log(f"Resumed after step {self.step} of {self.total_steps}.")

    # -- the result -------------------------------------------------------------------------

    def result(self) -> dict:
        """Choose the threshold on validation data, then score the test data once."""
        begin = time.perf_counter()
        validation, test = self.probabilities("validation"), self.probabilities("test")
        threshold = metrics.best_threshold(self.split.validation.labels, validation)
        labels, seed = self.split.test.labels, self.recipe.seed
        return {
            "threshold": threshold,
            "test": metrics.scores(labels, test, seed=seed),
            "test_at_threshold": metrics.scores(labels, test, threshold=threshold, seed=seed),
            "test_predictions": {"labels": list(labels), "probabilities": test},
            "validation_predictions": {
                "labels": list(self.split.validation.labels),
                "probabilities": validation,
            },
            "history": self.history,
            "training_seconds": self.seconds,
            "messages_per_second": self.step
            * len(self.messages)
            / self.steps_per_epoch
            / self.seconds,
            "padding_share": self.stepper.padding_share(),
            "tokens_per_message": float(np.mean(self.messages.lengths)),
            "evaluation_seconds": time.perf_counter() - begin,
        }

    def finish(self, folder: Path, provenance: dict) -> dict:
        """The result, saved with the model in ``folder`` by the first process.

        The weights go to the disk while the test part is scored: both take about as long.
        """
        if not self.world.first:
            return self.result()
        result: dict = {}

        def write(scratch: Path) -> None:
            with ThreadPoolExecutor(max_workers=1) as pool:
                weights = pool.submit(self.network.save_pretrained, scratch)
                result.update(self.result())
                weights.result()
            self._write_rest(scratch, result, provenance)

        checkpoint.atomically(write, folder)
        return result

    def _write_rest(self, folder: Path, result: dict, provenance: dict) -> None:
        import torch
        import transformers

        self.network.config.spam_threshold = result["threshold"]
        self.network.config.save_pretrained(folder)  # again, now with the threshold
        self.tokenizer.save_pretrained(folder)
        record = {
            "recipe": asdict(self.recipe),
            "backend": asdict(self.backend),
            "processes": self.world.size,
            "started_from": self.source,
            "data_sha256": self.split.train.sha256,
            "messages": {
                "train": len(self.split.train),
                "validation": len(self.split.validation),
                "test": len(self.split.test),
            },
            "software": {"torch": torch.__version__, "transformers": transformers.__version__},
            **provenance,
        }
        text = json.dumps({**result, "provenance": record}, indent=1)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        checkpoint.mark(folder)


def usual_learning_rate(width: int, batch_size: int) -> float:
    """A peak rate that suits a BERT of this hidden width: narrow models bear larger steps.

    For BERT-base (768) and batches of 32 the authors' own range is 2e-5 to 5e-5 (Devlin et al.,
    2019, A.3). It grows with the square root of the batch, as suits Adam (Malladi et al., 2022).
    """
    return (5e-5 if width >= 768 else 1e-4) * (batch_size / 32) ** 0.5


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: up in a line over the first steps, then down to zero."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total - step) / max(1, total - rising))


def probabilities_of(
    network,
    encoded: Sequence[Sequence[int]],
    *,
    pad: int,
    backend: Backend,
    batch_size: int | None = None,
) -> list[float]:
    """Probability of spam of each message of token ids, in the order given, dropout off.

    Messages are computed sorted by length and ids, so their order does not touch the result.
    """
    import torch

    if not encoded:
        return []
    batch_size = batch_size or (256 if backend.on_gpu else 64)
    canonical = sorted(range(len(encoded)), key=lambda i: (len(encoded[i]), encoded[i]))
    was_training = network.training
    network.eval()
    parts = []
    with torch.inference_mode(), backend.computing():
        for start in range(0, len(canonical), batch_size):
            ids, mask = batches.collate(
                encoded,
                canonical[start : start + batch_size],
                pad=pad,
                multiple=8 if backend.on_gpu else 1,  # each new shape costs a GPU some set-up
            )
            logits = network(
                input_ids=ids.to(backend.device), attention_mask=mask.to(backend.device)
            ).logits
            parts.append(logits.float().softmax(dim=-1)[:, 1])
        found = torch.cat(parts).cpu().numpy()  # one wait for all batches
    network.train(was_training)
    out = np.empty(len(encoded))
    out[canonical] = found
    return out.tolist()
