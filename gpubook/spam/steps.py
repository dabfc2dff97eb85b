"""One training step, two ways: plainly, and on a GPU as CUDA graphs.

A step of a BERT is many hundred small kernels, and a processor launches them more slowly than
a current GPU runs them. A CUDA graph stores the launches once and replays them all by one call.
It replays fixed shapes and addresses, so every batch is packed into a row of one size
(:mod:`gpubook.spam.packed`), the rows of an epoch lie on the GPU, and parameters and gradients lie
in a flat buffer each, which also lets AdamW, the gradient's norm and the exchange with other GPUs
be one call instead of two hundred.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpubook.spam import batches
from gpubook.spam.data import Messages
from gpubook.spam.distributed import World
from gpubook.spam.model import Backend

MAX_NORM = 1.0  # of a step's gradient, as in the authors' training


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a step needs to know of the recipe."""

    batch_size: int
    weight_decay: float = 0.01
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

    @classmethod
    def of(cls, tokenizer, messages: Messages) -> Encoded:
        """Messages cut to tokens."""
        encoded = batches.encode(tokenizer, messages.texts)
        return cls(encoded, messages.labels, pad=tokenizer.pad_token_id or 0)

    def __len__(self) -> int:
        return len(self.encoded)


class Eager:
    """Each operation is launched when Python reaches it, which costs little on a processor."""

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
        if not backend.on_gpu:
            processor.install(network, self._bits, precision=backend.precision)
        self._parallel = world.wrap(network)
        self._done: list[Done] = []

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch: messages of a batch have nearly the same length."""
        return batches.plan(
            self.messages.lengths, self.settings.batch_size, seed=self.settings.seed, epoch=epoch
        )

    def begin_epoch(self, plan: Sequence[Sequence[int]], first_step: int) -> None:
        self._plan, self._first = plan, first_step

    def padding_share(self) -> float:
        """Share of the computed tokens that are padding, 0 to 1."""
        return batches.padding_share(self.messages.lengths, self.plan(0))

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
    """A step as replayed CUDA graphs: forward and backward of a packed batch, then the update.

    The very first step runs plainly, which sets the libraries up; the second captures the graphs,
    and every step from then on is a replay. With ``precision`` "bf16" the network
    computes in BF16 and the optimiser keeps FP32 parameters (mixed precision after Micikevicius
    et al., 2018; BF16 has FP32's range, so no loss scaling). Between backward and update the
    processes' gradients are summed, if there are several.
    """

    def __init__(
        self, network, messages: Encoded, settings: Settings, backend: Backend, world: World
    ):
        import torch

        from gpubook.spam import packed

        packed.install(network)
        self.network, self.messages, self.settings = network, messages, settings
        self.backend, self.world = backend, world
        self._device = torch.device(backend.device)
        self._flatten()
        new = {"device": self._device}
        self._room = packed.Room(longest=max(messages.lengths))
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
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}
        self._ready: set[str] = set()
        self._pool = torch.cuda.graph_pool_handle()
        self._events: list[tuple[int, int, torch.cuda.Event]] = []
        self.idle()

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

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch: as many tokens in each as in any other."""
        return batches.deal(
            self.messages.lengths, self.settings.batch_size, seed=self.settings.seed, epoch=epoch
        )

    def begin_epoch(self, plan: Sequence[Sequence[int]], first_step: int) -> None:
        """Send the epoch's batches to the GPU, each as a row of the same number of tokens."""
        import torch

        self._first, self._counts = first_step, [len(batch) for batch in plan]
        shares = [self.world.share(batch) for batch in plan]
        room = self._room.enlarged(self.messages.lengths, shares)
        if room != self._room:
            self._room, self._batch = room, None
            self._graphs.pop("backward", None)
        rows = [self._row(share, len(batch)) for share, batch in zip(shares, plan, strict=True)]
        self._plan = [torch.stack(part).to(self._device) for part in zip(*rows, strict=True)]
        self._batch = self._batch or [torch.empty_like(part[0]) for part in self._plan]
        self.idle()

    def _row(self, share: Sequence[int], count: int) -> list:
        """A packed batch with its labels and weights; only messages have a weight."""
        import torch

        from gpubook.spam import packed

        row = packed.pack(self.messages.encoded, share, self._room, pad=self.messages.pad)
        labels = torch.zeros(self._room.slots, dtype=torch.int64)
        labels[: len(share)] = self.messages.labels[share]
        weights = torch.zeros(self._room.slots)
        weights[: len(share)] = 1 / count
        return [*map(torch.from_numpy, row), labels, weights]

    def padding_share(self) -> float:
        """Share of the computed tokens that are padding, 0 to 1."""
        useful = sum(self.messages.lengths) / len(self.plan(0))
        return 1 - useful / (self.world.size * self._room.tokens)

    def step(self, number: int) -> None:
        """Queue step ``number`` of the training on the GPU; it has not run when this returns."""
        at = number - self._first
        for part, plan in zip(self._batch, self._plan, strict=True):
            part.copy_(plan[at])
        self._rate.copy_(self._rates[number])
        self._replay("backward", self._backward)
        self.world.sum(self._gradient)
        self._replay("update", self._update)
        self._log[number].copy_(self._loss)
        self._events.append((number, self._counts[at], self._event()))

    def _replay(self, name: str, run) -> None:
        """Replay the graph of ``name``, captured when it is wanted for the second time.

        The first time runs plainly instead: libraries set themselves up in it.
        """
        import torch

        if name not in self._ready:
            self._ready.add(name)
            run()
            return
        if name not in self._graphs:
            self._graphs[name] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                self._graphs[name], pool=self._pool, capture_error_mode="thread_local"
            ):
                run()
        self._graphs[name].replay()

    def _backward(self) -> None:
        import torch

        from gpubook.spam import packed

        *row, labels, weights = self._batch
        logits = packed.logits(self.network, *row, longest=self._room.longest)
        each = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        loss = (each * weights).sum()
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


def stepper_for(network, backend: Backend) -> type[Eager | Graphed]:
    """How to train ``network``: as graphs if it can be packed and there is a GPU for them."""
    if not backend.on_gpu:
        return Eager
    from gpubook.spam import packed

    return Graphed if packed.fits(network) else Eager


def _parts(network) -> tuple[list, list]:
    """What is trained: parameters with weight decay, and those without (biases, layer norms)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
