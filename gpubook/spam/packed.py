"""Batches without padding: all messages of a batch one after the other, in a single long row.

Nearly all of a BERT looks at one token at a time and does not care where its message ends. Only
three parts do: the position of a token, which starts anew with each message; attention, which must
stay within a message; and the head, which reads each message's first token. The row has a fixed
number of tokens, so that one CUDA graph serves every batch. What is left of it at the end is cut
into messages of padding that count for nothing.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import BertForSequenceClassification
from transformers.models.bert.modeling_bert import BertSelfAttention

# Nested tensors say at their first use that their interface may change; requirements pin torch.
warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors is in prototype")
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)

TILE = 128  # tokens; what a matrix product's kernel takes at a time


def fits(network: torch.nn.Module) -> bool:
    """True for a model whose head and attention this module knows."""
    return type(network) is BertForSequenceClassification


def install(network: BertForSequenceClassification) -> None:
    """Prepare ``network`` for :func:`logits`. Called as usual, it computes as before."""
    for module in network.modules():
        if type(module) is BertSelfAttention:
            module.__class__ = Attention  # the same parameters, another forward


@dataclass(frozen=True)
class Room:
    """The size of a row: its tokens, its slots for messages, and the longest message."""

    tokens: int = 0
    slots: int = 0
    longest: int = 1

    def enlarged(self, lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> Room:
        """A room for each of ``batches``, with a margin so that the next epoch's fit, too."""
        totals = [sum(lengths[i] for i in batch) for batch in batches]
        tokens = self.tokens
        if max(totals) > tokens:
            tokens = -(-(max(totals) + self.longest) // TILE) * TILE
        slots = max(map(len, batches)) - (min(totals) - tokens) // self.longest
        if slots > self.slots:
            return replace(self, tokens=tokens, slots=slots + 1)
        return replace(self, tokens=tokens)


def pack(
    encoded: Sequence[Sequence[int]], indices: Sequence[int], room: Room, *, pad: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids (tokens), positions (tokens) and offsets (slots + 1) of the row of some messages.

    Message n takes the places from ``offsets[n]`` to ``offsets[n + 1]``. The slots that are left
    share the places that are left.
    """
    ends = np.cumsum([0, *(len(encoded[i]) for i in indices)])
    free = np.linspace(ends[-1], room.tokens, room.slots - len(indices) + 1).astype(int)
    offsets = np.concatenate([ends, free[1:]])
    ids = np.full(room.tokens, pad)
    ids[: ends[-1]] = list(chain.from_iterable(encoded[i] for i in indices))
    positions = np.arange(room.tokens) - np.repeat(offsets[:-1], np.diff(offsets))
    return ids, positions, offsets


def logits(
    network: BertForSequenceClassification,
    ids: torch.Tensor,
    positions: torch.Tensor,
    offsets: torch.Tensor,
    *,
    longest: int,
) -> torch.Tensor:
    """Scores of shape (slots, labels) for the messages of a row; none is over ``longest``."""
    bert = network.bert
    hidden = bert.embeddings(input_ids=ids[None], position_ids=positions[None])
    hidden = bert.encoder(hidden, offsets=offsets, longest=longest).last_hidden_state
    starts = offsets[:-1].clamp(max=len(ids) - 1)  # of an empty slot at the end, too
    first = hidden[0].index_select(0, starts)
    return network.classifier(network.dropout(bert.pooler(first[:, None])))


class Attention(BertSelfAttention):
    """Within each message of a row. One product gives queries, keys and values together."""

    def forward(self, hidden_states, *args, offsets=None, longest=None, **options):
        if offsets is None:
            return super().forward(hidden_states, *args, **options)
        parts = self.query, self.key, self.value
        weight, bias = (torch.cat([getattr(p, name) for p in parts]) for name in ("weight", "bias"))
        together = functional.linear(hidden_states[0], weight, bias)
        together = together.view(-1, 3, self.num_attention_heads, self.attention_head_size)
        dropout = self.dropout.p if self.training else 0.0
        answer = attend(together, offsets, longest=longest, dropout=dropout)
        return answer.reshape(hidden_states.shape), None


def attend(
    together: torch.Tensor, offsets: torch.Tensor, *, longest: int, dropout: float
) -> torch.Tensor:
    """softmax(q kᵀ / √width) v within each message.

    ``together`` is q, k and v: (tokens, 3, heads, width); the answer (tokens, heads, width).
    """
    parts = together.unbind(1)
    if not together.is_cuda:  # torch's own formula, for a processor, takes nothing else
        parts = [part.contiguous() for part in parts]
    messages = [
        torch.nested.nested_tensor_from_jagged(part, offsets, min_seqlen=1, max_seqlen=longest)
        for part in parts
    ]
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        answer = functional.scaled_dot_product_attention(
            *(message.transpose(1, 2) for message in messages), dropout_p=dropout
        )
    return answer.transpose(1, 2).values()
