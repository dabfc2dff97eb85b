"""Checkpoints and results that are either whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpubook import files
from gpubook.errors import BookError, UsageError
from gpubook.spam.assets import sha256
from gpubook.spam.data import LABELS

MARKER = "spam-classifier.json"
"""The file that makes a folder a result of ours; it has the SHA-256 of each other file."""


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
    import torch

    with reading(path), files.opened(path) as file:
        return torch.load(file, map_location="cpu", weights_only=True)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with the checkpoint that is read and used in here is a StorageError."""
    try:
        yield
    except BookError:
        raise
    except Exception as error:  # empty, cut short, a text, a list, another program's
        reason = str(error).strip().split("\n")[0]
        raise StorageError(
            f"Cannot read the checkpoint {path}: it is damaged or cut short "
            f"({type(error).__name__}: {reason}); start again without --resume."
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


def mark(folder: Path) -> None:
    """Make a folder a result of ours: note each file's SHA-256, and let all be read alike."""
    mode = (folder / "config.json").stat().st_mode
    digests = {}
    for path in sorted(folder.iterdir()):
        path.chmod(mode)  # safetensors makes its file private
        digests[path.name] = sha256(path)
    files.write_json(
        folder / MARKER, {"schema": "gpubook.spam/1", "labels": LABELS, "files": digests}
    )


def marked(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a result. StorageError where `mark` left none to read."""
    try:
        digests = files.read_json(folder / MARKER)["files"]
        return {name: digest for name, digest in digests.items() if Path(name).name == name}
    except OSError as error:
        reason = f"{MARKER}: {error.strerror}"
    except (ValueError, LookupError, TypeError, AttributeError):
        reason = f"{MARKER} is damaged"
    raise _not_whole(folder, reason)


def check_result(folder: Path) -> None:
    """Raise StorageError unless each file of a result is as it was saved."""
    for name, digest in marked(folder).items():
        try:
            whole = sha256(folder / name) == digest
        except OSError as error:
            raise _not_whole(folder, f"{name}: {error.strerror}") from None
        if not whole:
            raise _not_whole(folder, f"{name} is not the file that was saved")


def _not_whole(folder: Path, reason: str) -> StorageError:
    return StorageError(
        f"{folder} is no whole result of spam_classify: {reason}; copy the folder again, or train "
        f"with `spam_classify --output FOLDER`."
    )


def refuse_foreign_folder(folder: Path) -> None:
    """Raise UsageError when ``folder`` holds something that is not a result of ours."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: a file of this name is there; choose a folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    own = {MARKER, *marked(folder)} if MARKER in names else set()
    if others := sorted(names - own):
        raise UsageError(
            f"--output {folder}: the folder holds other files ({others[0]}), and a result "
            f"replaces the whole folder; choose a new or an empty one"
        )
