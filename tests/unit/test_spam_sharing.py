"""Trainings that share a GPU: the arithmetic, and what happens where there is none."""

import contextlib

import pytest

from gpubook.errors import UsageError
from gpubook.spam import sharing

SPEEDS = {1: [100.0], 2: [45.0, 50.0], 4: [24.0, 25.0, 24.0, 25.0]}


@pytest.fixture
def shared(monkeypatch):
    """Workers that are numbers, and their speeds by how many are asked at once."""
    monkeypatch.setattr(
        sharing, "_workers", lambda count: contextlib.nullcontext(list(range(count)))
    )
    monkeypatch.setattr(sharing, "_together", lambda workers, _shape: SPEEDS[len(workers)])


def test_the_speed_of_all_is_compared_with_that_of_one_alone(shared):
    rows = sharing._rows("time slices", (1, 2, 4), lambda _line: None)
    assert [row["processes"] for row in rows] == [1, 2, 4] * len(sharing.SHAPES)
    assert [row["together"] for row in rows[:3]] == [100.0, 95.0, 98.0]
    assert [row["times_one"] for row in rows[:3]] == pytest.approx([1.0, 0.95, 0.98])


def test_rows_without_a_server_do_not_pass_for_mps(shared):
    with pytest.raises(OSError, match="not through the MPS server"):
        sharing._rows("MPS", (1,), lambda _line: None, check=lambda: 0)


def test_without_a_gpu_it_is_misuse():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UsageError, match="needs a GPU"):
        sharing.measure()


def test_a_missing_server_is_a_reason_and_the_time_slices_stay(shared, monkeypatch):
    from gpubook.spam.model import Backend

    monkeypatch.setattr(sharing, "choose_backend", lambda: Backend("cuda", "bf16"))
    monkeypatch.setattr(sharing.shutil, "which", lambda _name: None)
    told = sharing.measure(counts=(1, 2))
    assert {row["way"] for row in told["rows"]} == {"time slices"}
    assert "nvidia-cuda-mps-control" in told["mps"]


def test_the_server_gets_folders_of_its_own_and_is_ended(tmp_path, monkeypatch):
    import os

    log = tmp_path / "asked"
    control = tmp_path / "control"
    control.write_text(
        f'#!/bin/sh\n[ "$1" = -d ] && exec echo "start $CUDA_MPS_PIPE_DIRECTORY" >>{log}\n'
        f"read -r line; echo $line >>{log}; echo 4711\n"
    )
    control.chmod(0o755)
    monkeypatch.setattr(sharing.shutil, "which", lambda _name: str(control))
    with sharing._mps() as servers:
        assert servers() == 1
        assert os.path.isdir(os.environ["CUDA_MPS_PIPE_DIRECTORY"])  # noqa: PTH112
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    start, *asked = log.read_text().splitlines()
    assert start.startswith("start /") and asked == ["get_server_list", "quit"]
