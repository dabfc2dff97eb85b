"""Messages as tensors: cut to tokens once, sorted by length, padded no further than needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

MAX_LENGTH = 128  # tokens; nine messages of the collection are longer and are cut


def encode(tokenizer, texts: Sequence[str], *, max_length: int = MAX_LENGTH) -> list[list[int]]:
    """Token ids of each text, [CLS] and [SEP] included, not padded, at most ``max_length``."""
    return tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]


def plan(
    lengths: Sequence[int], batch_size: int, *, seed: int | None = None, epoch: int = 0
) -> list[list[int]]:
    """Batches of indices; messages of a batch have nearly the same length.

    Without a seed: sorted by length, for evaluation and prediction. With one: which messages of
    a length share a batch, and the order of the batches, are drawn anew each epoch, the same on
    every machine and in every process.
    """
    order = np.arange(len(lengths))
    rng = None if seed is None else np.random.default_rng([seed, epoch])
    if rng is not None:
        order = rng.permutation(order)
    order = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def deal(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int = 0) -> list[list[int]]:
    """Batches of indices with nearly the same number of tokens in each, drawn anew each epoch.

    The messages are sorted by length and dealt like cards: each batch gets one of the longest, one
    of the next, and so on. So a batch has messages of all lengths, and all are equally full.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    order = order[np.argsort(-np.asarray(lengths)[order], kind="stable")]
    count = -(-len(order) // batch_size)
    hands: list[list[int]] = [[] for _ in range(count)]
    for start in range(0, len(order), count):
        round_ = order[start : start + count].tolist()
        for hand, message in zip(rng.permutation(count), round_):  # noqa: B905 - the last is short
            hands[hand].append(message)
    return hands


def collate(
    encoded: Sequence[Sequence[int]], indices: Sequence[int], *, pad: int = 0, multiple: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both int64 of shape (messages, longest rounded up to ``multiple``)."""
    import torch

    longest = max(len(encoded[i]) for i in indices)
    width = -(-longest // multiple) * multiple
    ids = np.full((len(indices), width), pad)
    mask = np.zeros_like(ids)
    for row, i in enumerate(indices):
        ids[row, : len(encoded[i])] = encoded[i]
        mask[row, : len(encoded[i])] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def padding_share(
    lengths: Sequence[int], batches: Sequence[Sequence[int]], *, width: int | None = None
) -> float:
    """Share of the computed tokens that are padding, 0 to 1.

    Messages are padded to ``width`` tokens, by default to the longest of their batch.
    """
    computed = sum(len(b) * (width or max(lengths[i] for i in b)) for b in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / computed


def spread(all_batches: Sequence[list[int]], lengths: Sequence[int], count: int) -> list[list[int]]:
    """``count`` full batches, evenly spaced in the order of their tokens.

    A few of them then stand for the whole epoch: short batches take a fraction of the time of
    long ones, and a few picked by chance would mislead.
    """
    full = len(max(all_batches, key=len))
    by_tokens = sorted(
        (b for b in all_batches if len(b) == full), key=lambda b: sum(lengths[i] for i in b)
    )
    count = min(count, len(by_tokens))
    return [by_tokens[int((i + 0.5) * len(by_tokens) / count)] for i in range(count)]
