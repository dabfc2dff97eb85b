"""The same training through transformers' ``Trainer``: as in 2023, and as well as it can.

What our own loop is measured against. ``CHAPTER`` are the settings of the chapter of 2023: every
message padded to 128 tokens, batches of 16, FP32. ``tuned`` are those a careful user of
``Trainer`` would choose.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gpubook.spam import batches
from gpubook.spam.data import Messages
from gpubook.spam.model import Backend, load_model, load_tokenizer

CHAPTER: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "warmup_steps": 500,
    "weight_decay": 0.01,
    "logging_steps": 10,
}


def tuned(backend: Backend, batch_size: int) -> dict[str, Any]:
    """Settings of ``TrainingArguments`` that make it fast on this backend."""
    return {
        "per_device_train_batch_size": batch_size,
        "warmup_steps": 0.1,
        "weight_decay": 0.01,
        "bf16": backend.precision == "bf16",
        "train_sampling_strategy": "group_by_length",
        "optim": "adamw_torch_fused",
        "logging_steps": 1000,
    }


def fit(
    messages: Messages,
    source: str | Path,
    folder: Path,
    settings: dict[str, Any],
    *,
    pad_all: bool,
    epochs: int = 3,
    most_steps: int = -1,
    skip: int = 20,
) -> dict[str, Any]:
    """Train with ``Trainer`` and save the model in ``folder``.

    ``messages_per_second`` is the speed after the first ``skip`` steps, ``seconds`` counts all
    from tokens to the saved model. ``most_steps`` ends the training early (-1: never).
    """
    import torch
    import transformers

    begin = time.perf_counter()
    tokenizer = load_tokenizer(source)
    encoded = tokenizer(
        list(messages.texts),
        truncation=True,
        max_length=batches.MAX_LENGTH,
        padding="max_length" if pad_all else False,
    )
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(
            encoded["input_ids"], encoded["attention_mask"], messages.labels, strict=True
        )
    ]
    clock = _clock(skip)
    trainer = transformers.Trainer(
        model=load_model(source),
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=epochs,
            max_steps=most_steps,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            use_cpu=not torch.cuda.is_available(),
            **settings,
        ),
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))
    batch = settings["per_device_train_batch_size"]
    return {
        "settings": settings | {"pad_all_to": batches.MAX_LENGTH if pad_all else None},
        "messages_per_second": batch * (clock.steps - skip) / (clock.last - clock.first),
        "steps": clock.steps - skip,
        "seconds": time.perf_counter() - begin,
    }


def _clock(skip: int):
    """A callback that notes when step ``skip`` and the last one were finished by the device."""
    import torch
    import transformers

    class Clock(transformers.TrainerCallback):
        steps = 0
        first = last = 0.0

        def on_step_end(self, args, state, control, **_: object) -> None:
            self.steps += 1
            if self.steps == skip:
                self.first = self._now()

        def on_train_end(self, args, state, control, **_: object) -> None:
            self.last = self._now()

        def _now(self) -> float:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return time.perf_counter()

    return Clock()
