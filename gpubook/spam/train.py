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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from gpubook.errors import BookError, UsageError
from gpubook.spam import assets, batches, checkpoint, metrics
from gpubook.spam.data import LABELS, Messages, Split
from gpubook.spam.distributed import Alone, World
from gpubook.spam.model import Backend, choose_backend, load_model, load_tokenizer


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
    learning_rate: float | None = None  # peak; warm-up in a line, then down to zero; None: by width
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01
    dropout: float = 0.1  # without it a few thousand messages are soon learnt by heart
    max_length: int = batches.MAX_LENGTH  # tokens
    seed: int = 2023


@dataclass(frozen=True)
class Trained:
    """A finished training. ``test`` and ``validation`` hold labels and spam probabilities."""

    folder: Path
    history: list[dict]  # one entry an epoch: loss, seconds, messages/s, validation scores
    losses: list[tuple[float, float]]  # (seconds since start, loss of a batch)
    metrics: dict
    recipe: dict  # as used, with the learning rate that was chosen


Log = Callable[[str], None]


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

    A checkpoint is written after each epoch and every ``save_seconds``; with ``resume`` the
    training goes on from it. ``stop`` is asked after each step; when it says True, a checkpoint
    is written and Interrupted raised. ``on_step`` is told the number of each finished step.
    """
    import torch

    world = world or Alone()
    backend = backend or choose_backend()
    source = model or assets.model_path(log)
    checkpoint.refuse_foreign_folder(folder)
    saved = folder.parent / f"{folder.name}.checkpoint"
    torch.manual_seed(recipe.seed)
    tokenizer = load_tokenizer(source)
    network = load_model(
        source,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        classifier_dropout=recipe.dropout,
        attn_implementation="sdpa",
    ).to(backend.device)
    if recipe.learning_rate is None:
        recipe = replace(recipe, learning_rate=usual_learning_rate(network.config.hidden_size))
    run = _Run(split, tokenizer, network, recipe, backend, world, str(source))
    if resume:
        run.restore(saved, log)
    try:
        run.epochs(saved, save_seconds=save_seconds, stop=stop, on_step=on_step, log=log)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU's memory is full with --batch-size {recipe.batch_size}; use a smaller one "
            f"(half, say), or free the GPU: `nvidia-smi` lists who uses it."
        ) from error
    result = run.result()
    if world.first:
        checkpoint.atomically(lambda f: run.write(f, result, provenance or {}), folder)
        shutil.rmtree(saved, ignore_errors=True)
        log(f"Saved in {folder}: model, tokenizer, labels, metrics.json")
    world.wait()
    return Trained(folder, run.history, run.losses, result, asdict(recipe))


class _Run:
    """The state of one training: what a checkpoint stores, and the steps that change it."""

    def __init__(
        self,
        split: Split,
        tokenizer,
        network,
        recipe: Recipe,
        backend: Backend,
        world: World,
        source: str,
    ):
        import torch

        self.split, self.tokenizer, self.network = split, tokenizer, network
        self.recipe, self.backend, self.world, self.source = recipe, backend, world, source
        self.encoded = batches.encode(tokenizer, split.train.texts, max_length=recipe.max_length)
        self.lengths = [len(ids) for ids in self.encoded]
        self.labels = torch.tensor(split.train.labels)
        self.steps_per_epoch = -(-len(self.encoded) // recipe.batch_size)
        self.total_steps = self.steps_per_epoch * recipe.epochs
        if world.first and min(len(self.encoded), recipe.epochs, recipe.batch_size) < 1:
            raise UsageError("training needs at least one message, one epoch and batches of one")
        decay = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]  # biases, layer norms
        self.optimizer = torch.optim.AdamW(
            [{"params": decay}, {"params": plain, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        network.train()  # from_pretrained leaves it in evaluation mode, with dropout off
        self.parallel = world.wrap(network)
        self.step = 0
        self.seconds = 0.0  # of training in all, over resumes
        self.epoch_seconds = 0.0
        self.epoch_loss = 0.0
        self.history: list[dict] = []
        self.losses: list[tuple[float, float]] = []

    # -- the loop ---------------------------------------------------------------------------

    def epochs(self, saved: Path, *, save_seconds: float, stop, on_step, log: Log) -> None:
        last_save = time.monotonic()
        while self.step < self.total_steps:
            epoch, done = divmod(self.step, self.steps_per_epoch)
            order = batches.plan(
                self.lengths, self.recipe.batch_size, seed=self.recipe.seed, epoch=epoch
            )
            for indices in order[done:]:
                self._train_step(indices)
                on_step(self.step)
                ended = self.step % self.steps_per_epoch == 0
                if not ended and self.world.first:
                    self._report(log)
                asked = self.world.any(stop())
                due = not ended and time.monotonic() - last_save > save_seconds
                if asked or self.world.any(due):
                    self._checkpoint(saved)
                    last_save = time.monotonic()
                if asked:
                    raise Interrupted(
                        f"Stopped after step {self.step} of {self.total_steps}; "
                        f"the same command with --resume goes on from here."
                    )
            self._end_epoch(epoch, log)
            if self.step < self.total_steps:
                self._checkpoint(saved)
                last_save = time.monotonic()

    def _train_step(self, indices: Sequence[int]) -> None:
        import torch

        begin = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * schedule(
                self.step, self.total_steps, self.recipe.warmup
            )
        mine = self.world.share(indices)
        ids, mask = batches.collate(self.encoded, mine or indices[:1], pad=self._pad())
        device = self.backend.device
        with self.backend.autocast():
            logits = self.parallel(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        labels = self.labels[list(mine or indices[:1])].to(device)
        each = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        # Every process averages over the whole batch, so that their gradients sum to one step's.
        loss = each * (self.world.size if mine else 0.0) / len(indices)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = self.world.mean(loss.detach())
        if not np.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.step + 1}; use a smaller --learning-rate."
            )
        self.step += 1
        self.epoch_loss += value * len(indices)
        spent = time.perf_counter() - begin
        self.seconds += spent
        self.epoch_seconds += spent
        self.losses.append((self.seconds, value))

    def _end_epoch(self, epoch: int, log: Log) -> None:
        begin = time.perf_counter()
        probability = self.probabilities(self.split.validation.texts)
        score = metrics.scores(self.split.validation.labels, probability)
        self.history.append(
            {
                "epoch": epoch + 1,
                "loss": self.epoch_loss / len(self.encoded),
                "seconds": self.epoch_seconds,
                "messages_per_second": len(self.encoded) / self.epoch_seconds,
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
        """Ten lines of progress an epoch, with the time left at the speed so far."""
        every = max(1, self.steps_per_epoch // 10)
        done = self.step % self.steps_per_epoch
        if done % every:
            return
        left = self.seconds / self.step * (self.total_steps - self.step)
        speed = done * self.recipe.batch_size / self.epoch_seconds
        log(
            f"  step {self.step}/{self.total_steps}: loss {self.losses[-1][1]:.4f}, "
            f"{speed:.0f} messages/s, {left:.0f} s left"
        )

    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0

    def probabilities(self, texts: Sequence[str]) -> list[float]:
        """Probability of spam of each text, in order; the work is shared by all processes."""
        return self.world.gather(
            len(texts),
            lambda mine: spam_probabilities(
                self.network, self.tokenizer, [texts[i] for i in mine], backend=self.backend
            ),
        )

    # -- checkpoints ------------------------------------------------------------------------

    def identity(self) -> dict:
        """What must be equal for a checkpoint to be continued."""
        return {
            **asdict(self.recipe),
            "model": self.source,
            "precision": self.backend.precision,
            "data": self.split.train.sha256,
            "messages": len(self.encoded),
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
                "model": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
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
        state = checkpoint.load(path)
        mine = self.identity()
        changed = [key for key, value in state["identity"].items() if value != mine.get(key)]
        if changed:
            raise UsageError(
                f"--resume: {path} was made with another {', '.join(changed)}; repeat the first "
                f"command's options, or start again without --resume"
            )
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.epoch_seconds, self.epoch_loss = state["epoch_seconds"], state["epoch_loss"]
        self.history = json.loads(state["history"])
        self.losses = [(a, b) for a, b in state["losses"]]
        log(f"Resumed after step {self.step} of {self.total_steps}.")

    # -- the result -------------------------------------------------------------------------

    def result(self) -> dict:
        """Choose the threshold on validation data, then score the test data once."""
        begin = time.perf_counter()
        validation = self.probabilities(self.split.validation.texts)
        test = self.probabilities(self.split.test.texts)
        threshold = metrics.best_threshold(self.split.validation.labels, validation)
        labels = self.split.test.labels
        return {
            "threshold": threshold,
            "test": metrics.scores(labels, test),
            "test_at_threshold": metrics.scores(labels, test, threshold=threshold),
            "test_predictions": {"labels": list(labels), "probabilities": test},
            "validation_predictions": {
                "labels": list(self.split.validation.labels),
                "probabilities": validation,
            },
            "history": self.history,
            "training_seconds": self.seconds,
            "messages_per_second": self.step
            * len(self.encoded)
            / self.steps_per_epoch
            / self.seconds,
            "padding_share": batches.padding_share(
                self.lengths, batches.plan(self.lengths, self.recipe.batch_size)
            ),
            "evaluation_seconds": time.perf_counter() - begin,
        }

    def write(self, folder: Path, result: dict, provenance: dict) -> None:
        import torch
        import transformers

        self.network.config.spam_threshold = result["threshold"]
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / "labels.json").write_text(json.dumps(list(LABELS)) + "\n", encoding="utf-8")
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


def usual_learning_rate(width: int) -> float:
    """A peak rate that suits a BERT of this hidden width: narrow models bear larger steps.

    For BERT-base (768) the authors' own range is 2e-5 to 5e-5 (Devlin et al., 2019, A.3).
    """
    return 5e-5 if width >= 768 else 1e-4


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: up in a line over the first steps, then down to zero."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total - step) / max(1, total - rising))


def spam_probabilities(
    network, tokenizer, texts: Sequence[str], *, backend: Backend, batch_size: int = 64
) -> list[float]:
    """Probability of spam of each text, in the order given, dropout off.

    Messages are computed sorted by length and text, so their order does not touch the result.
    """
    import torch

    if not texts:
        return []
    encoded = batches.encode(tokenizer, texts)
    canonical = sorted(range(len(texts)), key=lambda i: (len(encoded[i]), texts[i]))
    out = np.empty(len(texts))
    was_training = network.training
    network.eval()
    with torch.inference_mode(), backend.autocast():
        for start in range(0, len(canonical), batch_size):
            indices = canonical[start : start + batch_size]
            ids, mask = batches.collate(encoded, indices, pad=tokenizer.pad_token_id or 0)
            logits = network(
                input_ids=ids.to(backend.device), attention_mask=mask.to(backend.device)
            ).logits
            out[indices] = logits.float().softmax(dim=-1)[:, 1].cpu().numpy()
    network.train(was_training)
    return out.tolist()


def describe_split(split: Split) -> list[dict]:
    """One row a part: messages, spam, and the share of spam."""
    parts: dict[str, Messages] = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    return [
        {"part": name, "messages": len(m), "spam": m.spam, "share": m.spam / len(m)}
        for name, m in parts.items()
    ]
