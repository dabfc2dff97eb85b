"""From the 2023 way of training to ours, one lever at a time, each measured for some seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from gpubook.spam import batches
from gpubook.spam.data import Messages
from gpubook.spam.distributed import Alone
from gpubook.spam.model import Backend, freeze_embeddings, load_model, load_tokenizer
from gpubook.spam.steps import Encoded, Graphed, Settings


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to train. Each rung of the ladder changes one thing of the rung before."""

    name: str
    attention: str = "eager"  # "eager": scores, softmax, product one by one; "sdpa": fused
    padding: str = "all"  # "all": every message to 128 tokens; "batch": to the batch's longest
    by_length: bool = False  # batches of messages of nearly equal length
    dropout: float = 0.1
    batch_size: int = 16
    precision: str = "fp32"
    fused: bool = False  # AdamW in one kernel instead of one a tensor
    frozen: bool = False  # the embeddings are not trained
    fewer_bits: bool = False  # in dropout's random numbers and between the layers
    graphs: bool = False  # the step's launches replayed as CUDA graphs


def ladder(backend: Backend) -> list[Rung]:
    """The rungs in order. A machine's ladder has only those that its training climbs."""
    rungs = [Rung(name="as in 2023")]

    def add(name: str, **change) -> None:
        rungs.append(replace(rungs[-1], name=name, **change))

    size = 64 if backend.on_gpu else 32
    add("pad to the batch's longest", padding="batch")
    add("batches by length", by_length=True)
    add("fused attention", attention="sdpa")
    add(f"batches of {size}", batch_size=size)
    if backend.precision == "bf16":
        add("BF16", precision="bf16")
    add("fused AdamW", fused=True)
    add("embeddings frozen", frozen=True)
    if backend.on_gpu:
        add("CUDA graphs", graphs=True)
    else:
        add("fewer bits", fewer_bits=True)
    return rungs


def climb(
    rungs: Sequence[Rung], messages: Messages, source: str | Path, *, device: str, timed: int = 6
) -> list[dict]:
    """Measure each rung on the same messages: rows of the rung's settings and its speed.

    ``messages_per_second`` and ``tokens_per_batch`` come from ``timed`` real training steps on
    batches spread evenly over the lengths; ``tflops`` counts the useful products only (padding
    is not useful). ``ratio`` is the speed over the first rung's; ``mfu`` is ``tflops`` over
    ``product_tflops``, what a plain matrix product of that precision reaches on this machine.
    """
    rows = [measure(rung, messages, source, device=device, timed=timed) for rung in rungs]
    reach = {kind: product_tflops(device, kind) for kind in {rung.precision for rung in rungs}}
    for row in rows:
        row["ratio"] = row["messages_per_second"] / rows[0]["messages_per_second"]
        row["product_tflops"] = reach[row["precision"]]
        row["mfu"] = row["tflops"] / row["product_tflops"]
    return rows


def measure(
    rung: Rung, messages: Messages, source: str | Path, *, device: str, timed: int = 6
) -> dict:
    """Train ``timed`` steps the rung's way, after one that is not counted."""
    import torch

    from gpubook.spam import processor

    torch.manual_seed(0)
    backend = Backend(device, rung.precision)
    network = load_model(
        source,
        attn_implementation=rung.attention,
        hidden_dropout_prob=rung.dropout,
        attention_probs_dropout_prob=rung.dropout,
    ).to(device)
    network.train()
    if rung.frozen:
        freeze_embeddings(network)
    if rung.fewer_bits:
        processor.install(network, processor.Bits(seed=0), precision=rung.precision)
    encoded = Encoded(
        batches.encode(load_tokenizer(source), messages.texts), messages.labels, pad=0
    )
    lengths = encoded.lengths
    chosen = spread(_batches(rung, lengths), lengths, timed)
    steps = _graphed if rung.graphs else _plain
    seconds = steps(rung, network, encoded, chosen, backend)
    count = sum(len(indices) for indices in chosen)
    useful = sum(lengths[i] for indices in chosen for i in indices)
    computed = sum(len(b) * _width(rung, max(lengths[i] for i in b)) for b in chosen)
    return asdict(rung) | {
        "messages_per_second": count / seconds,
        "seconds_per_step": seconds / len(chosen),
        "steps": len(chosen),
        "padding_share": 1 - useful / computed,
        "tflops": flops_per_token(network.config) * useful / seconds / 1e12,
    }


def _width(rung: Rung, longest: int) -> int:
    """Tokens to which the messages of a batch are padded."""
    if rung.padding == "all":
        return batches.MAX_LENGTH
    return batches.bucket(longest) if rung.graphs else longest


def _plain(rung: Rung, network, encoded: Encoded, chosen, backend: Backend) -> float:
    """Seconds for the steps ``chosen``, each launched as Python comes to it."""
    import torch

    device = backend.device
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-5, fused=rung.fused)
    wait = torch.cuda.synchronize if backend.on_gpu else (lambda: None)

    def step(indices: list[int]) -> None:
        multiple = batches.MAX_LENGTH if rung.padding == "all" else 1
        ids, mask = batches.collate(encoded.encoded, indices, multiple=multiple)
        with backend.computing():
            loss = network(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                labels=encoded.labels[indices].to(device),
            ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for indices in chosen[:: max(1, len(chosen) // 2)]:  # first calls set libraries up
        step(indices)
    wait()
    begin = time.perf_counter()
    for indices in chosen:
        step(indices)
    wait()
    return time.perf_counter() - begin


def _graphed(rung: Rung, network, encoded: Encoded, chosen, backend: Backend) -> float:
    """Seconds for the steps ``chosen`` as replayed graphs, after they were captured."""
    rounds = [*chosen] * 3  # the first batch of all runs plainly, so its width is captured later
    settings = Settings(
        batch_size=rung.batch_size, weight_decay=0.01, seed=0, rates=[5e-5] * len(rounds)
    )
    stepper = Graphed(network, encoded, settings, backend, Alone())
    stepper.begin_epoch(rounds, 0)
    for number in range(2 * len(chosen)):
        stepper.step(number)
    stepper.collect()
    stepper.idle()
    for number in range(2 * len(chosen), len(rounds)):
        stepper.step(number)
    return sum(done.seconds for done in stepper.collect())


def product_tflops(device: str, precision: str, *, n: int | None = None) -> float:
    """TFLOP/s of one n × n matrix product, the best of several: the ceiling for a training."""
    import torch

    on_gpu = device.startswith("cuda")
    n = n or (8192 if on_gpu else 1536)
    wait = torch.cuda.synchronize if on_gpu else (lambda: None)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(n, n, device=device).to(dtype)
    best = float("inf")
    for _ in range(6):
        wait()
        begin = time.perf_counter()
        a @ a
        wait()
        best = min(best, time.perf_counter() - begin)
    return 2 * n**3 / best / 1e12


def flops_per_token(config) -> float:
    """Floating-point operations of one training step for one token: 6 per weight that is used.

    2 for the product forward (multiply, add) and 4 backward. Counted are the products of the
    encoder's layers (4 h² in attention, 2 h·m in the feed-forward part); the attention scores
    add 2·tokens·h a layer, under 2 % at these lengths, and the embedding is a look-up. After Kaplan
    et al., 2020, section 2.1.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    return 6.0 * config.num_hidden_layers * (4 * hidden**2 + 2 * hidden * inner)


def _batches(rung: Rung, lengths: Sequence[int]) -> list[list[int]]:
    if rung.by_length:
        return batches.plan(lengths, rung.batch_size, seed=0)
    order = np.random.default_rng(0).permutation(len(lengths)).tolist()
    return [order[i : i + rung.batch_size] for i in range(0, len(order), rung.batch_size)]


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
