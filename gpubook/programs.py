"""Programs that a command runs: they end with it, and what they print is kept up to a limit.

Imports no room; every room after `files` may import it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LIMIT = 2**20
"""The most bytes that are kept of an output."""
PARENT_DEATH_SIGNAL, CHILD_SUBREAPER = 1, 36  # of prctl(2)


@dataclass(frozen=True)
class Done:
    """A program that ended: its exit code, standard output and, unless merged, standard error."""

    exit_code: int
    stdout: str
    stderr: str


def run(
    command: Sequence[str | Path], seconds: float, *, merged: bool = False, **more: Any
) -> Done | None:
    """Run a program to its end; None when its time was up, and it was killed with its children.

    It is asked to end (SIGTERM) when this process ends first, by kill -9, too. ``merged``: errors
    are part of the output, in order. ``more`` is for Popen.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        bufsize=0,  # or closing waits for a reader
        start_new_session=True,
        preexec_fn=lambda: prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM),
        **more,
    ) as process:
        try:
            outputs = _outputs(process, time.monotonic() + seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Done(process.returncode, *outputs) if outputs else None


def _outputs(process: subprocess.Popen, deadline: float) -> list[str] | None:
    """Both streams' text, once they and the process have ended; None at the deadline."""
    kept: dict[BinaryIO | None, bytes] = {process.stdout: b"", process.stderr: b""}

    def keep(stream: BinaryIO) -> None:
        kept[stream] = ends_of(stream)

    threads = [threading.Thread(target=keep, args=[s], daemon=True) for s in kept if s]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    try:
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    if any(thread.is_alive() for thread in threads):
        return None  # a child of it holds the stream
    return [kept[s].decode("utf-8", "replace") for s in (process.stdout, process.stderr)]


def ends_of(stream: BinaryIO, limit: int = LIMIT) -> bytes:
    """All that a stream gives; of more than ``limit`` bytes both ends, and a line between them."""
    half, head, tail, total = limit // 2, bytearray(), bytearray(), 0
    while chunk := stream.read(2**16):
        total += len(chunk)
        room = half - len(head)
        head += chunk[:room]
        tail += chunk[room:]
        del tail[:-half]
    lost = total - len(head) - len(tail)
    line = f"\n[{lost / 1e6:.1f} MB are left out here]\n".encode() if lost else b""
    return bytes(head + line + tail)


def prctl(option: int, value: int) -> None:
    """Ask Linux something for this process (prctl(2)); elsewhere, do without."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)
