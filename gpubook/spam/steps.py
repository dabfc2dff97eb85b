"""One training step, two ways: plainly, and on a GPU as CUDA graphs.

A step of a BERT is many hundred small kernels, and a processor launches them more slowly than
a current GPU runs them. A CUDA graph stores the launches once and replays them all by one call.
It replays fixed shapes and addresses, so there is a graph for each width of a batch, the batch
plan lies on the GPU, and parameters and gradients lie in a flat buffer each, which also lets
AdamW, the gradient's norm and the exchange with other GPUs be one call instead of two hundred.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpubook.spam import batches
from gpubook.spam.distributed import World
from gpubook.spam.model import Backend

MAX_NORM = 1.0  # of a step's gradient, as in the authors' training


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a step needs to know of the recipe."""

    batch_size: int
    weight_decay: float
    seed: int
    rates: Sequence[float]  # the learning rate of each step of the whole training


@dataclass(frozen=True)
class Done:
    """A finished step: how long it took, and its loss before it."""

    seconds: float
    loss: float
    messages: int


class Encoded:
    """Messages as token ids with their labels, ready to be put into batches."""

    def __init__(self, encoded: Sequence[Sequence[int]], labels: Sequence[int], *, pad: int):
        import torch

        self.encoded, self.pad = encoded, pad
        self.labels = torch.tensor(labels)
        self.lengths = [len(ids) for ids in encoded]

    def __len__(self) -> int:
        return len(self.encoded)


class Eager:
    """On a processor: each operation is launched when Python reaches it, which costs little."""

    def __init__(self, network, messages: Encoded, settings: Settings, backend, world: World):
        import torch

        from gpubook.spam import processor

        self.network, self.messages, self.settings = network, messages, settings
        self.backend, self.world = backend, world
        decayed, plain = _parts(network)
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed}, {"params": plain, "weight_decay": 0.0}],
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._bits = processor.Bits(settings.seed, world.rank)
        processor.install(network, self._bits, precision=backend.precision)
        self._parallel = world.wrap(network)
        self._done: list[Done] = []

    def begin_epoch(self, plan: Sequence[Sequence[int]], first_step: int) -> None:
        self._plan, self._first = plan, first_step

    def step(self, number: int) -> None:
        """Do step ``number`` of the training."""
        import torch

        begin = time.perf_counter()
        indices = self._plan[number - self._first]
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rates[number]
        self._bits.restart(number)
        mine = self.world.share(indices)
        some = mine or indices[:1]  # no rows for this process: a forward pass that counts nothing
        ids, mask = batches.collate(self.messages.encoded, some, pad=self.messages.pad)
        device = self.backend.device
        with self.backend.computing():
            logits = self._parallel(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        labels = self.messages.labels[some].to(device)
        each = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        # Every process averages over the whole batch, so that their gradients sum to one step's.
        loss = each * (self.world.size if mine else 0.0) / len(indices)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = self.world.mean(loss.detach())
        self._done.append(Done(time.perf_counter() - begin, value, len(indices)))

    def idle(self) -> None:
        """What follows is not a step: its time does not count as one."""

    def collect(self) -> list[Done]:
        """The steps since the last call."""
        done, self._done = self._done, []
        return done

    def state(self) -> dict:
        """What a checkpoint must hold for the training to go on."""
        return {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict) -> None:
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def finish(self) -> None:
        """Leave the trained weights in the network, in FP32."""


class Graphed:
    """A step as replayed CUDA graphs: forward and backward of a width, then the update.

    The very first batch runs plainly, which sets the libraries up; from then on a width's first
    batch captures its graph, and every batch is a replay. With ``precision`` "bf16" the network
    computes in BF16 and the optimiser keeps FP32 parameters (mixed precision after Micikevicius
    et al., 2018; BF16 has FP32's range, so no loss scaling). Between backward and update the
    processes' gradients are summed, if there are several.
    """

    def __init__(
        self, network, messages: Encoded, settings: Settings, backend: Backend, world: World
    ):
        import torch

        self.network, self.messages, self.settings = network, messages, settings
        self.backend, self.world = backend, world
        self._device = torch.device(backend.device)
        self._rows = -(-settings.batch_size // world.size)
        self._table_on_gpu()
        self._flatten()
        new = {"device": self._device}
        self._index = torch.zeros(self._rows, dtype=torch.int64, **new)
        self._weight = torch.zeros(self._rows, **new)
        self._rate = torch.zeros((), **new)
        self._rates = torch.tensor(settings.rates, dtype=torch.float32, **new)
        self._loss = torch.zeros((), **new)
        self._log = torch.zeros(len(settings.rates), **new)
        decayed, plain = self._master.split([self._decayed, self._master.numel() - self._decayed])
        self._halves = [torch.nn.Parameter(half) for half in (decayed, plain)]
        for half, gradient in zip(
            self._halves, self._master_gradient.split([decayed.numel(), plain.numel()]), strict=True
        ):
            half.grad = gradient
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [self._halves[0]]},
                {"params": [self._halves[1]], "weight_decay": 0.0},
            ],
            lr=self._rate,
            weight_decay=settings.weight_decay,
            fused=True,
            capturable=True,
        )
        self._graphs: dict[int | str, torch.cuda.CUDAGraph] = {}
        self._ready: set[type] = set()
        self._pool = torch.cuda.graph_pool_handle()
        self._events: list[tuple[int, int, torch.cuda.Event]] = []
        self.idle()

    def _table_on_gpu(self) -> None:
        import torch

        widest = max(self.messages.lengths)
        table = torch.full((len(self.messages), batches.bucket(widest)), self.messages.pad)
        for row, ids in enumerate(self.messages.encoded):
            table[row, : len(ids)] = torch.tensor(ids)
        self._ids = table.to(self._device)
        self._lengths = torch.tensor(self.messages.lengths, device=self._device)
        self._labels = self.messages.labels.to(self._device)

    def _flatten(self) -> None:
        """Put the parameters into one FP32 buffer, and what computes into another."""
        import torch

        decayed, plain = _parts(self.network)
        self._parameters = [*decayed, *plain]
        self._decayed = sum(p.numel() for p in decayed)
        with torch.no_grad():
            self._master = torch.cat([p.detach().reshape(-1).float() for p in self._parameters])
            low = self.backend.precision == "bf16"
            self._compute = self._master.bfloat16() if low else self._master
            self._point_into(self._compute)
            self._frozen = [(p, p.data) for p in self.network.parameters() if not p.requires_grad]
            for parameter, data in self._frozen:
                parameter.data = data.to(self._compute.dtype)
        self._gradient = torch.empty_like(self._compute)
        self._gradients = self._views(self._gradient)
        self._master_gradient = torch.empty_like(self._master)

    def _views(self, flat) -> list:
        """``flat`` in pieces of the parameters' shapes."""
        pieces = flat.split([p.numel() for p in self._parameters])
        return [piece.view(p.shape) for piece, p in zip(pieces, self._parameters, strict=True)]

    def _point_into(self, flat) -> None:
        """Make the network's parameters views of ``flat``."""
        for parameter, view in zip(self._parameters, self._views(flat), strict=True):
            parameter.data = view

    def begin_epoch(self, plan: Sequence[Sequence[int]], first_step: int) -> None:
        """Send the epoch's batches to the GPU; rows that a batch lacks count for nothing."""
        import torch

        index = torch.zeros(len(plan), self._rows, dtype=torch.int64)
        weight = torch.zeros(len(plan), self._rows)
        self._widths, self._counts, self._first = [], [len(batch) for batch in plan], first_step
        for at, indices in enumerate(plan):
            mine = self.world.share(indices)
            index[at, : len(mine)] = torch.tensor(mine, dtype=torch.int64)
            weight[at, : len(mine)] = 1 / len(indices)
            longest = max(self.messages.lengths[i] for i in indices)
            self._widths.append(batches.bucket(longest))
        self._plan = index.to(self._device), weight.to(self._device)
        self.idle()

    def step(self, number: int) -> None:
        """Queue step ``number`` of the training on the GPU; it has not run when this returns."""
        at = number - self._first
        self._index.copy_(self._plan[0][at])
        self._weight.copy_(self._plan[1][at])
        self._rate.copy_(self._rates[number])
        width = self._widths[at]
        self._replay(width, lambda: self._backward(width))
        self.world.sum(self._gradient)
        self._replay("update", self._update)
        self._log[number].copy_(self._loss)
        self._events.append((number, self._counts[at], self._event()))

    def _replay(self, key: object, run) -> None:
        """Replay the graph of ``key``, captured when it is first wanted.

        The first of each kind runs plainly instead: libraries set themselves up in it.
        """
        import torch

        kind = type(key)
        if kind not in self._ready:
            self._ready.add(kind)
            run()
            return
        if key not in self._graphs:
            self._graphs[key] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                self._graphs[key], pool=self._pool, capture_error_mode="thread_local"
            ):
                run()
        self._graphs[key].replay()

    def _backward(self, width: int) -> None:
        import torch

        ids = self._ids[:, :width].index_select(0, self._index)
        lengths = self._lengths.index_select(0, self._index)
        there = torch.arange(width, device=self._device) < lengths[:, None]
        mask = torch.zeros(there.shape, dtype=self._compute.dtype, device=self._device)
        mask.masked_fill_(~there, float("-inf"))
        square = mask[:, None, None, :].expand(-1, -1, width, -1).contiguous()
        with self.backend.attention():
            logits = self.network(input_ids=ids, attention_mask=square).logits
        labels = self._labels.index_select(0, self._index)
        each = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        loss = (each * self._weight).sum()
        gradients = torch.autograd.grad(loss, self._parameters)
        torch._foreach_copy_(self._gradients, gradients)
        self._loss.copy_(loss.detach())

    def _update(self) -> None:
        import torch

        norm = torch.linalg.vector_norm(self._gradient, dtype=torch.float32)
        share = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_ does
        torch.mul(self._gradient, share.reshape(1), out=self._master_gradient)
        self.optimizer.step()
        if self._compute is not self._master:
            self._compute.copy_(self._master)

    def _event(self):
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def collect(self) -> list[Done]:
        """Wait for the GPU; the steps since the last call, timed by its own events."""
        if not self._events:
            return []
        self._events[-1][-1].synchronize()
        first, last = self._events[0][0], self._events[-1][0]
        losses = self._log[first : last + 1].clone()
        self.world.sum(losses)
        done = []
        for (_, count, event), loss in zip(self._events, losses.tolist(), strict=True):
            done.append(Done(self._mark.elapsed_time(event) / 1e3, loss, count))
            self._mark = event
        self._events = []
        return done

    def idle(self) -> None:
        """What follows is not a step: its time does not count as one."""
        self._mark = self._event()

    def state(self) -> dict:
        """What a checkpoint must hold for the training to go on."""
        import torch

        return {
            "flat": self._master,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.cuda.get_rng_state(self._device),
        }

    def restore(self, state: dict) -> None:
        import torch

        self._master.copy_(state["flat"])
        self._compute.copy_(self._master)
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate  # loading has put a copy in its place
        torch.cuda.set_rng_state(state["random"], self._device)

    def finish(self) -> None:
        """Leave the trained weights in the network, in FP32."""
        self._graphs.clear()
        self._point_into(self._master)
        for parameter, data in self._frozen:
            parameter.data = data


Stepper = Eager | Graphed


def _parts(network) -> tuple[list, list]:
    """What is trained: parameters with weight decay, and those without (biases, layer norms)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
