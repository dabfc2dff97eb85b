"""A network prepared for training on a processor, where two things cost more than they need to.

Dropout: torch makes a random number for each activation. Sixteen bits are enough to decide
whether one is dropped, and a machine word, of which numpy's SFC64 generator fills whole arrays,
holds four of them. The numbers of a step follow from the seed and the step alone, so a resumed
training draws what an undisturbed one draws.

Layer norms: under autocast they answer in FP32, and each product that follows casts the answer to
BF16 for itself. Cast once, the activations between the layers take half the memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_ATTENTION = "gpubook_processor"
_STEPS = 1 << 16  # what sixteen bits can tell apart


class Bits:
    """Random bits for all dropouts of a network."""

    def __init__(self, seed: int, process: int = 0):
        self._key = seed, process
        self.restart(0)

    def restart(self, step: int) -> None:
        """Make what follows depend on the seed, the process and ``step`` alone."""
        self._generator = np.random.Generator(np.random.SFC64([*self._key, step]))

    def kept(self, shape: Sequence[int], share: float, dtype: torch.dtype) -> torch.Tensor:
        """Ones, and zeros at a ``share`` of all places (rounded to 1/65,536)."""
        count = math.prod(shape)
        words = self._generator.integers(0, 1 << 64, -(-count // 4), dtype=np.uint64)
        kept = words.view(np.uint16)[:count] >= round(share * _STEPS)
        return torch.from_numpy(kept.astype(np.float32)).view(*shape).to(dtype)


class Dropout(torch.nn.Dropout):
    """As torch's own: drops a share ``p`` and multiplies what is left by 1 / (1 - p)."""

    def __init__(self, p: float, bits: Bits):
        super().__init__(p)
        self._bits = bits

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return values
        kept = self._bits.kept(values.shape, self.p, values.dtype)
        return values * kept * (1 / (1 - self.p))


class LayerNorm(torch.nn.LayerNorm):
    """As torch's own, and while training the answer is in BF16."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = super().forward(values)
        return found.to(torch.bfloat16) if self.training else found


def install(network: torch.nn.Module, bits: Bits, *, precision: str) -> None:
    """Prepare ``network`` for training with this ``precision``, "fp32" or "bf16".

    Out of training it computes as before, so what is scored is what will be saved.
    """
    for name, module in list(network.named_modules()):
        if type(module) is torch.nn.Dropout:
            network.set_submodule(name, Dropout(module.p, bits).train(module.training))
        elif type(module) is torch.nn.LayerNorm and precision == "bf16":
            module.__class__ = LayerNorm  # the same parameters, another forward
    network.set_attn_implementation(_ATTENTION)


def _attention(
    module, query, key, value, attention_mask=None, *, scaling: float, **options
) -> tuple[torch.Tensor, None]:
    """softmax(q kᵀ · scaling) v; arguments (messages, heads, tokens, width), as transformers'.

    ``attention_mask`` is True where a token may be looked at; None: everywhere. Without dropout
    torch's own function is faster, and gives what the saved model will give.
    """
    if not module.training:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    weights = (query * scaling) @ key.transpose(-1, -2)
    if attention_mask is not None:
        weights = weights.masked_fill(~attention_mask, float("-inf"))
    weights = module.dropout(weights.softmax(dim=-1).to(value.dtype))
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
