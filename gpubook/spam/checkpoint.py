"""Checkpoints and results that are either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from gpubook.errors import BookError, UsageError


class StorageError(BookError):
    """A checkpoint or result could not be written or read."""


def save(state: dict, path: Path) -> None:
    """Write ``state`` (tensors and plain values) so that ``path`` never holds half of it."""
    import torch

    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    atomically(write, path)


def load(path: Path) -> dict:
    """Read a checkpoint. Nothing in the file is executed (``weights_only``)."""
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StorageError(
            f"Cannot read the checkpoint {path}: {str(error).splitlines()[0]}; "
            f"start again without --resume."
        ) from error


def atomically(write: Callable[[Path], None], path: Path) -> None:
    """Call ``write`` with a scratch path beside ``path``, then rename it into place.

    ``write`` makes a file or a folder. A full disk is one line; what stood at ``path`` stays.
    """
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        write(scratch / "new")
        if path.is_dir():
            path.rename(scratch / "old")
        (scratch / "new").rename(path)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_write_failure(error):
            raise
        full = getattr(error, "errno", None) == errno.ENOSPC or _is_write_failure(error)
        reason = getattr(error, "strerror", None) or ("no space left on device" if full else error)
        hint = "free some disk (`df -h`)" if full else "check the folder and who owns it"
        raise StorageError(
            f"Cannot write {path}: {reason}; {hint} and run again with --resume: "
            f"the last checkpoint is untouched."
        ) from error
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


def _is_write_failure(error: Exception) -> bool:
    """torch.save and safetensors report a failed write as their own error types."""
    text = str(error)
    return "PytorchStreamWriter" in text or "No space left" in text or "file write failed" in text


def refuse_foreign_folder(folder: Path) -> None:
    """Raise UsageError when ``folder`` holds something that is not a result of ours."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: a file of this name is there; choose a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "metrics.json").is_file():
        raise UsageError(
            f"--output {folder}: the folder holds other files, and a result replaces the whole "
            f"folder; choose a new or an empty one"
        )
