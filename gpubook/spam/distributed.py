"""One process or several: the same steps, the work of each batch divided by rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence


class Alone:
    """One process does everything."""

    size = 1
    rank = 0
    first = True

    def wrap(self, network):
        return network

    def share(self, indices: Sequence[int]) -> list[int]:
        return list(indices)

    def mean(self, value) -> float:
        return value.item()

    def sum(self, values) -> None:
        pass

    def highest(self, number: int) -> int:
        return number

    def gather(self, count: int, compute: Callable[[list[int]], list[float]]) -> list[float]:
        return compute(list(range(count)))

    def wait(self) -> None:
        pass


class Many:
    """One of several processes started by torchrun; gradients are averaged by DDP."""

    def __init__(self):
        import torch
        import torch.distributed as dist

        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(local_rank())
        # Gradients travel between GPUs by NCCL; small numbers between processes by gloo.
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
        self._dist = dist
        self.size, self.rank = dist.get_world_size(), dist.get_rank()
        self.first = self.rank == 0

    def wrap(self, network):
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def share(self, indices: Sequence[int]) -> list[int]:
        return list(indices[self.rank :: self.size])

    def mean(self, value) -> float:
        value = value.clone()
        self._dist.all_reduce(value)
        return value.item() / self.size

    def sum(self, values) -> None:
        """Replace ``values`` by their sum over all processes."""
        self._dist.all_reduce(values)

    def highest(self, number: int) -> int:
        """The highest ``number`` of all processes; without waiting for any GPU."""
        import torch

        value = torch.tensor(number)
        self._dist.all_reduce(value, op=self._dist.ReduceOp.MAX)
        return int(value)

    def gather(self, count: int, compute: Callable[[list[int]], list[float]]) -> list[float]:
        mine = list(range(self.rank, count, self.size))
        parts: list = [None] * self.size
        self._dist.all_gather_object(parts, (mine, compute(mine)))
        out = [0.0] * count
        for indices, values in parts:
            for i, value in zip(indices, values, strict=True):
                out[i] = value
        return out

    def wait(self) -> None:
        self._dist.barrier()


World = Alone | Many


def local_rank() -> int:
    """The number of this process on its machine, and of its GPU: 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join_world() -> World:
    """The processes torchrun started, or this one alone."""
    return Many() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Alone()
