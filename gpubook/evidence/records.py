"""Evidence as files: the schema, the checksum, reading and writing recordings."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpubook import files, machine
from gpubook.errors import BookError

SCHEMA = "gpubook.evidence/1"
PREFERRED = ("h100-docker29", "h100")
"""The machines whose recordings are replayed first, unless another is asked for."""


class EvidenceError(BookError):
    """An evidence that is malformed, was edited, or is missing."""


def canonical(value: Any) -> bytes:
    """The one JSON text of a value, for checksums. Raises ValueError for NaN and infinities."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def plain(value: Any, what: str) -> Any:
    """``value`` as JSON gives it back: lists, not tuples. Raises EvidenceError if it cannot."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))  # keys keep their order
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"{what} is not plain JSON: {error}") from error


def checksum(record: dict) -> str:
    """SHA-256 of everything in a record but its own ``sha256``."""
    rest = {k: v for k, v in record.items() if k != "sha256"}
    return hashlib.sha256(canonical(rest)).hexdigest()


def follows(value: Any, schema: str, where: str) -> None:
    """Raise EvidenceError unless ``value`` follows the schema ``evidence`` or ``results``."""
    if wrong := files.broken_rule(value, "gpubook.evidence", f"{schema}.schema.json"):
        raise EvidenceError(f"{where}: {wrong}")


def validate(record: dict, where: str) -> dict:
    """Return ``record`` if it follows the schema and its checksum holds; else EvidenceError."""
    follows(record, "evidence", where)
    if checksum(record) != record["sha256"]:
        raise EvidenceError(
            f"{where}: its checksum does not hold, so it was edited after it was measured; "
            "measure it again and promote it with `gpubook record`"
        )
    return record


def new_record(
    notebook: str,
    name: str,
    data: Any,
    *,
    needs: frozenset[str] | tuple[str, ...] = (),
    parameters: dict | None = None,
    provenance: dict | None = None,
) -> dict:
    """A checked record of ``data``; without ``provenance`` it was measured here and now.

    Raises EvidenceError when ``data`` is not JSON (NaN and infinities are not).
    """
    data = plain(data, f"{notebook}/{name}: the data")
    record = {
        "schema": SCHEMA,
        "notebook": notebook,
        "name": name,
        "needs": sorted(needs),
        "parameters": parameters or {},
        "data": data,
        "provenance": provenance or here(),
    }
    record["sha256"] = checksum(record)
    return validate(record, f"{notebook}/{name}")


def here(*, name: str = "this-machine", stub: bool = False) -> dict:
    """The provenance of something measured on this machine now."""
    probed = machine.probe()
    return {
        "machine": {"name": name} | probed.describe(),
        "software": dict(probed.software),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source": None,
        "stub": stub,
    }


def recording_path(root: Path, machine_name: str, notebook: str, name: str) -> Path:
    """Where a recording lies: ``recordings/<machine>/<notebook>/<name>.json``."""
    return root / "recordings" / machine_name / notebook / f"{name}.json"


def write_recording(root: Path, record: dict) -> Path:
    """Write a record below ``root/recordings``, whole or not at all. Returns its path."""
    where = f"{record.get('notebook')}/{record.get('name')}"
    validate(record, where)
    path = recording_path(
        root, record["provenance"]["machine"]["name"], record["notebook"], record["name"]
    )
    files.write_json(path, record)
    return path


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one is an EvidenceError in one line."""
    try:
        return files.read_json(path)
    except OSError as error:
        raise EvidenceError(f"cannot read {path}: {error.strerror}") from error
    except files.Malformed as error:
        raise EvidenceError(str(error)) from error


def load_recording(path: Path) -> dict:
    """Read and check one recording. Raises EvidenceError when it is broken or was edited."""
    record = validate(read_json(path), str(path))
    machine_name, notebook = path.parent.parent.name, path.parent.name
    stated = (record["provenance"]["machine"]["name"], record["notebook"], record["name"])
    if stated != (machine_name, notebook, path.stem):
        raise EvidenceError(f"{path}: lies in the wrong place, it says {'/'.join(stated)}")
    return record


def recordings_of(root: Path, notebook: str, name: str) -> list[dict]:
    """Every machine's recording of one evidence, the preferred machine's first."""
    paths = sorted((root / "recordings").glob(f"*/{notebook}/{name}.json"))
    chosen = os.environ.get("GPUBOOK_RECORDING")
    order = [chosen, *PREFERRED] if chosen else PREFERRED

    def rank(path: Path) -> tuple[int, str]:
        owner = path.parent.parent.name
        return (order.index(owner) if owner in order else len(order), owner)

    return [load_recording(path) for path in sorted(paths, key=rank)]
