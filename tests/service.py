"""Servers that a test starts: their output is kept, and a line of it says that they are ready."""

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """A running server and the file with its output."""

    process: subprocess.Popen
    log: Path

    @property
    def said(self) -> str:
        """The end of its output, for a failing test."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


def start(
    command: Sequence[str | Path], *, ready: str, log: Path, seconds: float, **more
) -> Service:
    """Start a server and wait until a line of its output holds ``ready``.

    Fails the test when the server ends before, or after ``seconds``; it is ended then. The
    output goes on into ``log``. ``more`` is for ``Popen``.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )
    heard = threading.Event()
    ended = threading.Event()

    def keep() -> None:
        with log.open("wb") as sink:
            for line in process.stdout:
                sink.write(line)
                sink.flush()
                if ready.encode() in line:
                    heard.set()
        ended.set()
        heard.set()

    threading.Thread(target=keep, daemon=True).start()
    service = Service(process, log)
    if not heard.wait(seconds) or ended.is_set():
        process.terminate()  # kindly: it may have started others
        process.wait(30)
        raise AssertionError(f"{command[0]} is not ready: {service.said}")
    return service
