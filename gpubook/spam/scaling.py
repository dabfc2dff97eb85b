"""What more GPUs buy: the same training on 1, 2, … processes of one host, started by torchrun.

*Strong scaling* keeps the batch of a step and divides it; *weak scaling* gives each process as
much as one had. Gradients are exchanged once a step, and that costs the same for a small batch as
for a large one, so there is a batch below which a second GPU loses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gpubook import files
from gpubook.errors import BookError
from gpubook.spam import assets, batches, data, steps, train
from gpubook.spam.distributed import World, join_world
from gpubook.spam.model import (
    Backend,
    choose_backend,
    freeze_embeddings,
    load_model,
    load_tokenizer,
)

COUNTS = (1, 2, 4, 8, 16)
"""Numbers of GPUs to compare, as far as a machine has them."""

ROUNDS = {"cuda": 3, "cpu": 2}
"""Times that the batches are gone through; the last is timed (the others set up what is needed)."""


class ScalingError(BookError):
    """The processes could not be started, or one of them failed."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What each number of processes does: speeds at batch sizes, and a training by ``recipe``.

    Without a whole training (``scored`` False) only speeds are measured.
    """

    source: str  # the model to start from
    data: str  # the collection's file
    device: str  # "cpu" or "cuda"
    precision: str
    batch_sizes: tuple[int, ...]  # messages a step, of all processes together
    recipe: train.Recipe
    timed: int = 12  # batches of each size
    messages: int = 0  # of the collection; 0 takes all
    scored: bool = True


def measure(job: Job, processes: Sequence[int]) -> dict:
    """Run ``job`` on each number of ``processes``, one of which must be 1, and compare.

    ``rows`` has one entry a number of processes: ``speeds`` maps batch sizes to messages/s and
    the share of a step in which GPUs exchange gradients, ``test`` holds the training's scores
    if there was one.
    ``strong`` and ``weak`` hold speed-up and efficiency (1 is perfect) for each size that both
    sides measured; ``wins_from`` is the smallest batch that two or more processes do faster.
    Raises ScalingError in one line when a process fails.
    """
    rows = {n: _start(job, n) for n in processes}
    alone = rows[1]["speeds"]
    compared: dict[str, list[dict]] = {"strong": [], "weak": []}
    for n, row in rows.items():
        for size, told in row["speeds"].items():
            speed = told["messages_per_second"]
            same, share = alone.get(size), alone.get(str(int(size) // n))
            if n > 1 and same:
                compared["strong"].append(_gain(n, size, speed, same))
            if n > 1 and share and int(size) % n == 0:
                compared["weak"].append(_gain(n, size, speed, share))
    winners = [row["batch_size"] for row in compared["strong"] if row["speed_up"] > 1]
    return {
        "job": {k: v for k, v in asdict(job).items() if k not in ("source", "data")},
        "rows": [row | {"processes": n} for n, row in rows.items()],
        **compared,
        "wins_from": min(winners, default=None),
    }


def _gain(n: int, size: str, speed: float, reference: dict) -> dict:
    speed_up = speed / reference["messages_per_second"]
    return {
        "processes": n,
        "batch_size": int(size),
        "speed_up": speed_up,
        "efficiency": speed_up / n,
    }


def _start(job: Job, n: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="gpubook-scaling-") as scratch:
        task, answer = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        task.write_text(json.dumps(asdict(job)), encoding="utf-8")
        threads = max(1, len(os.sched_getaffinity(0)) // n)
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={n}", "-m", "gpubook.spam.scaling", str(task), str(answer)]
        done = subprocess.run(
            command,
            env={"OMP_NUM_THREADS": str(threads)} | os.environ | hidden,
            capture_output=True,
            text=True,
        )
        if done.returncode or not answer.is_file():
            lines = [line for line in done.stderr.splitlines() if "Error" in line]
            reason = lines[0].strip() if lines else f"exit code {done.returncode}"
            raise ScalingError(f"the training on {n} processes failed: {reason}")
        return json.loads(answer.read_text(encoding="utf-8"))


def _work(job: Job, answer: Path) -> None:
    """What each process of torchrun runs; the first writes the answer."""
    import torch

    world = join_world()
    backend = choose_backend(job.device, job.precision)
    messages = data.load(job.data, expected=None)
    if job.messages:
        messages = messages.take(range(job.messages))
    unique = messages.take(data.distinct(messages))
    split = data.split(unique, families=data.families(unique), seed=job.recipe.seed)
    speeds = {str(size): _speed(job, split, size, backend, world) for size in job.batch_sizes}
    told = {"speeds": speeds, "threads": torch.get_num_threads()}
    if job.scored:
        told |= _scores(job, split, backend, world)
    if world.first:
        files.write_json(answer, told)


def _scores(job: Job, split: data.Split, backend: Backend, world: World) -> dict:
    with tempfile.TemporaryDirectory(prefix="gpubook-scaling-") as folder:
        trained = train.train(
            split,
            Path(folder) / "model",
            model=job.source,
            recipe=job.recipe,
            backend=backend,
            world=world,
            log=lambda _line: None,
        )
    keys = ("f1", "f1_interval", "accuracy", "pr_auc")
    test = {key: trained.metrics["test_at_threshold"][key] for key in keys}
    return {"test": test, "training": trained.history}


def _speed(job: Job, split: data.Split, size: int, backend: Backend, world: World) -> dict:
    """Steady messages/s with steps of ``size`` messages, and the share of communication."""
    import torch

    torch.manual_seed(job.recipe.seed)
    messages = steps.Encoded.of(load_tokenizer(job.source), split.train)
    if len(messages) < size:
        raise ScalingError(f"{len(messages)} messages do not fill a batch of {size}")
    rounds = ROUNDS[job.device]
    network = load_model(job.source, attn_implementation="sdpa").to(backend.device).train()
    if not job.recipe.train_embeddings:
        freeze_embeddings(network)
    rates = [1e-5] * (job.timed * rounds)
    settings = steps.Settings(batch_size=size, seed=job.recipe.seed, rates=rates)
    stepper = steps.stepper_for(network, backend)(network, messages, settings, backend, world)
    # Of all sizes the batches are as long on average, so that messages/s can be compared.
    once = batches.spread(stepper.plan(0), messages.lengths, job.timed)
    plan = once * rounds
    stepper.begin_epoch(plan, 0)
    timed_from = (rounds - 1) * len(once)
    for number in range(timed_from):
        stepper.step(number)
    stepper.collect()
    world.wait()
    stepper.idle()

    def timed() -> float:
        begin = time.perf_counter()
        for number in range(timed_from, len(plan)):
            stepper.step(number)
        stepper.collect()
        return time.perf_counter() - begin

    return {
        "messages_per_second": sum(map(len, once)) / timed(),
        # gloo's work is not in a profile
        "communication_share": _share_of_nccl(timed) if backend.on_gpu else None,
        "steps": len(once),
    }


def _share_of_nccl(run: Callable[[], float]) -> float:
    """Share of ``run``'s seconds in which a kernel of NCCL ran, from a profile."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as seen:
        seconds = run()
    spent = {event.key: event.self_device_time_total / 1e6 for event in seen.key_averages()}
    return nccl_seconds(spent) / seconds


def nccl_seconds(kernels: Mapping[str, float]) -> float:
    """Of seconds by kernel, those of NCCL's collectives."""
    return sum(spent for name, spent in kernels.items() if name.startswith("nccl"))


def job_for(backend: Backend, source: str | Path, *, batch_size: int, most: int) -> Job:
    """The usual job: batches from ``batch_size`` up, doubled, that up to ``most`` GPUs share."""
    sizes = [batch_size]
    while sizes[-1] < 8 * batch_size * most:
        sizes.append(2 * sizes[-1])
    return Job(
        source=str(source),
        data=str(assets.dataset_path(lambda _line: None)),
        device=backend.kind,
        precision=backend.precision,
        batch_sizes=tuple(sizes),
        recipe=train.Recipe(batch_size=batch_size, seed=0),
    )


def main(argv: Sequence[str]) -> None:
    """Entry point of each process: the job's file, and the file for the answer."""
    told = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    recipe, sizes = train.Recipe(**told.pop("recipe")), tuple(told.pop("batch_sizes"))
    _work(Job(**told, recipe=recipe, batch_sizes=sizes), Path(argv[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
