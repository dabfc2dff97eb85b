"""``gpubook bench share``: what several trainings at once get of one GPU, with and without MPS.

Without MPS the GPU runs one process at a time, in slices of time. With it the kernels of all
processes go through one server and can run side by side. A large job fills the GPU by itself; of
small ones it could run several. So both are measured, each with 1, 2 and 4 processes that start
together and train for the same seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gpubook.errors import UsageError
from gpubook.evidence.bench import result
from gpubook.spam import assets, data, steps
from gpubook.spam.distributed import Alone
from gpubook.spam.model import choose_backend, load_tokenizer

VERSION = 1  # rises when the method changes
COUNTS = (1, 2, 4)
SECONDS = 3.0
SHAPES = {
    "BERT-base shape, batches of 256": ({}, 256),
    "small BERT's shape, batches of 32": (
        {
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "intermediate_size": 1536,
        },
        32,
    ),
}
"""What trains, on random weights: the configuration's values that differ from BERT-base's, and
the messages of a step."""

Progress = Callable[[str], None]


def measure(*, counts: Sequence[int] = COUNTS, progress: Progress = lambda _line: None) -> dict:
    """Messages/s of each process and of all, for each shape, way and number of processes.

    ``mps`` is None where the server ran, and the reason where it did not.
    """
    if not choose_backend().on_gpu:
        raise UsageError("the bench share needs a GPU")
    rows, reason = _rows("time slices", counts, progress), None
    try:
        with _mps() as servers:
            rows += _rows("MPS", counts, progress, check=servers)
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error)
    return result("share", VERSION, "cuda", seconds=SECONDS, rows=rows, mps=reason)


def _rows(
    way: str, counts: Sequence[int], progress: Progress, check: Callable[[], int] | None = None
) -> list[dict]:
    rows = []
    with _workers(max(counts)) as workers:
        if check and not check():
            raise OSError("the trainings run, but not through the MPS server")
        for shape in SHAPES:
            for count in counts:
                each = _together(workers[:count], shape)
                progress(f"{way}, {shape}, {count}: {sum(each):.0f} messages/s together")
                rows.append({"way": way, "shape": shape, "each": each, "together": sum(each)})
    alone = {row["shape"]: row["together"] for row in rows if len(row["each"]) == 1}
    for row in rows:
        row["processes"] = len(row["each"])
        row["times_one"] = row["together"] / alone[row["shape"]]
    return rows


@contextmanager
def _workers(count: int) -> Iterator[list]:
    """Connections to ``count`` processes that have each shape ready and wait for a name."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_work, args=(far,), daemon=True) for _, far in pairs]
    for process in processes:
        process.start()
    try:
        for near, far in pairs:
            far.close()  # so that a process that ends is an error here, not a wait without end
            near.recv()
        yield [near for near, _ in pairs]
    except EOFError as error:
        raise OSError("a training ended before its time") from error
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _together(workers: Sequence, shape: str) -> list[float]:
    """Messages/s of each, all started at once."""
    for worker in workers:
        worker.send(shape)
    return [worker.recv() for worker in workers]


def _work(connection) -> None:
    """A process: prepare the shapes, then train whichever is named, for some seconds."""
    steppers = {shape: _Training(*of) for shape, of in SHAPES.items()}
    connection.send("ready")
    while True:
        connection.send(steppers[connection.recv()].speed(SECONDS))


class _Training:
    """Epoch after epoch of the same training."""

    def __init__(self, shape: dict, size: int):
        import torch
        import transformers

        backend = choose_backend()
        _, _, split = data.prepare(seed=0, progress=lambda _line: None)
        tokenizer = load_tokenizer(assets.model_path(lambda _line: None))
        messages = steps.Encoded.of(tokenizer, split.train)
        config = transformers.BertConfig(attn_implementation="sdpa", **shape)
        with torch.device(backend.device):
            network = transformers.BertForSequenceClassification(config).train()
        count = -(-len(messages) // size)
        settings = steps.Settings(batch_size=size, seed=0, rates=[1e-5] * count)
        self._stepper = steps.Graphed(network, messages, settings, backend, Alone())
        self._steps, self._messages = count, len(messages)
        self._stepper.begin_epoch(self._stepper.plan(0), 0)
        self._epoch()  # sets up and captures

    def _epoch(self) -> None:
        for number in range(self._steps):
            self._stepper.step(number)
        self._stepper.collect()

    def speed(self, seconds: float) -> float:
        begin, epochs = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            self._epoch()
            epochs += 1
        return epochs * self._messages / (time.perf_counter() - begin)


@contextmanager
def _mps() -> Iterator[Callable[[], int]]:
    """The MPS server for processes that start in the block; gives a count of its servers."""
    control = shutil.which("nvidia-cuda-mps-control")
    if not control:
        raise OSError("there is no nvidia-cuda-mps-control here")
    with tempfile.TemporaryDirectory(prefix="gpubook-mps-") as folder:
        names = {f"CUDA_MPS_{kind}_DIRECTORY": str(Path(folder) / kind) for kind in ("PIPE", "LOG")}
        os.environ |= names  # what starts from here inherits it
        for name in names.values():
            Path(name).mkdir()

        def ask(command: str) -> str:
            done = subprocess.run(
                [control], input=f"{command}\n", capture_output=True, text=True, timeout=30
            )
            return done.stdout

        try:
            subprocess.run([control, "-d"], check=True, capture_output=True, timeout=30)
            yield lambda: len(ask("get_server_list").split())
        finally:
            ask("quit")
            for name in names:
                del os.environ[name]
