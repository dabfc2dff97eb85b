"""Bad input by the thousand, to every reader: `make fuzz`, or python -m tests.fuzz --help.

Each case goes through the one place that every command goes through (gpubook.errors.exit_code).
It must end with 0, 1 or 2, in at most one line, and in seconds. What does not is an escape: it is
shrunk, printed with its seed, and belongs into tests/unit/test_fuzz.py once it is fixed.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gpubook.errors import exit_code
from tests.conftest import ROOT

SECONDS = 20
"""The longest that one case may compute."""
_CHUNK = 1000


class Escape(AssertionError):
    """A case that did not end in at most one line."""


@dataclass(frozen=True)
class Reader:
    """What is fuzzed: valid inputs to start from, and what reads one from a file."""

    name: str
    valid: tuple[bytes, ...] = field(repr=False)
    read: Callable[[Path], Any]
    file: str = "input"
    share: int = 10  # of the cases

    @property
    def document(self) -> bool:
        """Whether the valid inputs are JSON objects."""
        return self.file.endswith((".json", ".ipynb"))


def check(reader: Reader, raw: bytes, folder: Path) -> None:
    """Read one input as a command would. Raises Escape when the promise is not kept."""
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    said, begun = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = exit_code("fuzz", lambda: reader.read(path) and 0)
        except SystemExit as end:
            code = end.code
        except Exception as error:
            raise Escape(f"{reader.name}: {type(error).__name__}: {error}") from error
    lines = said.getvalue().count("\n")
    if code not in (0, 1, 2, None) or lines > 1:
        raise Escape(f"{reader.name}: exit code {code}, {lines} lines: {said.getvalue()[:500]}")
    if (took := time.process_time() - begun) > SECONDS:
        raise Escape(f"{reader.name}: {took:.0f} s")


# ------------------------------------------------------------------------------ the inputs

NASTY = (
    b"\x00", b"\xff\xfe", b"\x1b[2J", "\ud800".encode("utf-8", "surrogatepass"), b"\r\n", b"NaN",
    b"1e999", b"-1", b"9" * 5000, b"[" * 3000, b"{" * 200, b'{"a":' * 3000, b"(" * 250,
    b"-" * 3000, b"a.b." * 500, b"+1" * 1500, b"null", b"true", b'""', b"[]", b"{}", b"..", b"/",
    b"../../etc/passwd", b"$A$A", b"${A:-${A:-", b"<<END\n", b"\\\n", b"!!bool x", b"&a [*a]",
    b"!!python/object:os.system x", b"<script>", b"\n\n", b"\t", b"'", b'"', b"#", b"%s{0}",
)  # fmt: skip
_EDIT = st.tuples(
    st.floats(0, 1), st.integers(0, 40), st.one_of(st.sampled_from(NASTY), st.binary(max_size=8))
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def edited(raw: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """``raw`` with pieces replaced: each edit is a place, a length and what stands there then."""
    for place, length, new in edits:
        at = int(place * len(raw))
        raw = raw[:at] + new + raw[at + length :]
    return raw


def replaced(document: Any, steps: list[int], value: Any) -> Any:
    """A JSON document with one of its parts replaced, or with one more key."""
    if not steps or not isinstance(document, dict | list) or not document:
        return value
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = keys[steps[0] % len(keys)]
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[key] = replaced(document[key], steps[1:], value)
    return copy


@st.composite
def inputs(draw: Any, reader: Reader) -> bytes:
    """Bytes for a reader: a valid input with edits, one of its parts replaced, or any bytes."""
    raw = draw(st.sampled_from(reader.valid))
    if reader.document and draw(st.booleans()):
        steps = draw(st.lists(st.integers(0, 50), max_size=7))
        document = replaced(json.loads(raw), steps, draw(_JSON))
        return json.dumps(_sealed(document)).encode("utf-8", "surrogatepass")
    return edited(raw, draw(st.lists(_EDIT, max_size=4)))


def _sealed(document: Any) -> Any:
    """A recording with the checksum that whoever edited it would put there."""
    from gpubook.evidence.records import checksum

    if isinstance(document, dict) and "sha256" in document:
        with contextlib.suppress(ValueError):
            return document | {"sha256": checksum(document)}
    return document


# ----------------------------------------------------------------------------- the readers


def _notebook(path: Path) -> None:
    from gpubook.book import notebooks

    found = notebooks.load(path)
    for name in found.parameters:
        notebooks.assign([found], [(name, "1")])


def _parameter(path: Path) -> None:
    from gpubook.book import notebooks

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    for default in (1, 1.0, True, "text", [1], (1,), {"a": 1}, None):
        with contextlib.suppress(notebooks.UsageError):
            notebooks.convert("N", text, default)


def _recording(path: Path) -> None:
    from gpubook.evidence import display, records

    record = records.load_recording(path)
    steps = record["data"].get("steps") if isinstance(record["data"], dict) else None
    if isinstance(steps, list):
        shown = display.transcript(steps)
        assert "<script" not in shown._repr_html_(), "markup in a recording reaches the page"


def _results(path: Path) -> None:
    from gpubook.book import execute

    execute.load_result(path.parent.parent, path.stem)


def _project(path: Path) -> None:
    from gpubook.project import checks, result, script

    checks._dockerfile(path.parent, ())
    checks._dockerignore(path.parent)
    script.check(path.parent)
    result.check(path.parent)


def _printed(path: Path) -> None:
    from gpubook.project import build

    text = path.read_bytes().decode("utf-8", "replace")
    build.judge(text, "1000")
    build.last_error(text)


def _specification(path: Path) -> None:
    from gpubook import files
    from gpubook.injection import cdi

    cdi.parse(files.read_text(path))


def _questions(path: Path) -> None:
    from gpubook.evidence import checks

    checks.load(path)


def _capture(path: Path) -> None:
    from gpubook import files, injection

    whole = ROOT / "recordings/h100/captures/legacy"
    mountinfo, inspect, *others = (
        path if path.name == name else whole / name
        for name in ("mountinfo", "inspect.json", "dev.txt", "env.txt")
    )
    texts = [files.read_text(one) for one in (mountinfo, *others)]
    injection.decide(injection.observe(*texts, inspect=files.read_json(inspect)))


def _log(path: Path) -> None:
    from gpubook.doctor import report
    from gpubook.doctor.diagnose import diagnose

    with path.open("rb") as stream:
        found = diagnose(stream)
    report.log_text(found, "log")
    json.dumps(report.log_json(found, "log"), allow_nan=False)


def _messages(path: Path) -> None:
    from gpubook.spam import data

    data.load(path, expected=None)


def _config(path: Path) -> None:
    from gpubook.spam import checkpoint, model

    model.check_config(path.parent)
    checkpoint.check_result(path.parent)


def _marker(path: Path) -> None:
    from gpubook.spam import checkpoint

    checkpoint.refuse_foreign_folder(path.parent)
    checkpoint.check_result(path.parent)


def _checkpoint(path: Path) -> None:
    from gpubook.spam import checkpoint

    checkpoint.load(path)


def _daemon(path: Path) -> None:
    from gpubook import files
    from gpubook.engine import parse_daemon_config
    from gpubook.machine import endpoint

    parse_daemon_config(files.read_text(path))
    endpoint.resolve({"DOCKER_CONFIG": str(path.parent)})


def _command(path: Path) -> int:
    """The words of a command line, each on a line, as the command gets them."""
    from gpubook import cli
    from gpubook.matmul import cli as matmul
    from gpubook.spam import cli as spam

    name, *words = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    if name == "gpubook" and words[:1] == ["doctor"] and len(words) > 1:
        return cli.main(words)
    parsers = {"gpubook": cli._parser, "mat_mul": matmul._parser}
    parsers |= {"spam_classify": spam._classify_parser, "spam_predict": spam._predict_parser}
    parsers.get(name, cli._parser)().parse_args([w for w in words if "\0" not in w])
    return 0


def _zipped(text: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("SMSSpamCollection", text)
    return made.getvalue()


def _saved() -> bytes:
    import torch

    made = io.BytesIO()
    torch.save({"identity": {}, "step": 3, "stepper": {"model": {"w": torch.ones(2)}}}, made)
    return made.getvalue()


def _of(*paths: str) -> tuple[bytes, ...]:
    return tuple((ROOT / path).read_bytes() for path in paths)


def readers() -> tuple[Reader, ...]:
    """All readers of files, texts and command lines that others can write."""
    project = "examples/project"
    captures = "recordings/h100/captures"
    recording = "recordings/h100/05-nvidia-container-toolkit"
    legacy = f"{captures}/legacy"
    logs = sorted((ROOT / "tests/fixtures/doctor").rglob("*.log"))[:40]
    seeds = "tests/fixtures/fuzz"
    sms, wheel = _of(f"{seeds}/messages.tsv", f"{seeds}/messages.csv")
    (commands,) = _of(f"{seeds}/commands.txt")
    return (
        Reader("notebooks", _of(f"{seeds}/notebook.json"), _notebook, "01-a.ipynb"),
        Reader("parameters", (b"3", b"2.5", b"true", b"[1, 2]", b'{"a": 1}'), _parameter),
        Reader(
            "recordings",
            _of(f"{recording}/docker-info.json", f"{recording}/paths-shown.json"),
            _recording,
            "h100/05-nvidia-container-toolkit/docker-info.json",
        ),
        Reader("results", _of(f"{seeds}/results.json"), _results, "results/01-a.json"),
        Reader("Dockerfiles", _of(f"{project}/Dockerfile", "docker/Dockerfile"), _project,
               "p1/Dockerfile"),
        Reader(".dockerignore", _of(f"{project}/.dockerignore"), _project, "p2/.dockerignore"),
        Reader("scripts", _of(f"{project}/bench.py"), _project, "p3/bench.py", 6),
        Reader("benchmark results", _of(f"{project}/result.json"), _project, "p4/result.json"),
        Reader("containers' output", _of(f"{project}/result.json"), _printed),
        Reader("CDI specifications", _of(f"{captures}/cdi-nvidia.yaml"), _specification, share=1),
        Reader("short specifications", _of(f"{seeds}/cdi.yaml"), _specification),
        Reader("questions", _of(f"{seeds}/questions.toml"), _questions),
        Reader("mountinfo", _of(f"{legacy}/mountinfo"), _capture, "c1/mountinfo"),
        Reader("inspect", _of(f"{legacy}/inspect.json"), _capture, "c2/inspect.json"),
        Reader("logs", tuple(path.read_bytes() for path in logs), _log, share=10),
        Reader("messages", (sms, wheel, _zipped(sms)), _messages),
        Reader("model folders", _of(f"{seeds}/config.json"), _config, "model/config.json"),
        Reader("results' markers", _of(f"{seeds}/marker.json"), _marker,
               "marked/spam-classifier.json"),
        Reader("checkpoints", (_saved(),), _checkpoint, "state.pt"),
        Reader("daemon.json", (b'{"features": {"cdi": true}}', b'{"currentContext": "a"}'),
               _daemon, "config.json"),
        Reader("command lines", tuple(commands.strip().split(b"\n\n")), _command, share=8),
    )  # fmt: skip


def fuzz(reader: Reader, cases: int, begin: int) -> int:
    """Run ``cases`` cases of a reader, seeds from ``begin`` on; how many ran. Raises Escape."""
    ran = 0
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk is slower
    with tempfile.TemporaryDirectory(prefix="gpubook-fuzz-", dir=memory) as folder:
        for start in range(0, cases, _CHUNK):

            @seed(begin + start // _CHUNK)
            @settings(
                max_examples=min(_CHUNK, cases - start),
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            )
            @given(inputs(reader))
            def one(raw: bytes) -> None:
                nonlocal ran
                ran += 1
                check(reader, raw, Path(folder))

            one()
    return ran


def main() -> int:
    """Fuzz as the command line says; 1 when something escaped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first chunk (%(default)s)")
    parser.add_argument("--only", metavar="READER", help="one reader's name")
    args = parser.parse_args()
    os.environ["GPUBOOK_ROOT"] = "/nonexistent"  # no command line reaches this book
    chosen = [r for r in readers() if args.only in (None, r.name)]
    total, shares, escapes = 0, sum(r.share for r in chosen), 0
    begun = time.monotonic()
    for reader in chosen:
        cases = -(-args.cases * reader.share // shares)
        start = time.monotonic()
        try:
            ran = fuzz(reader, cases, args.seed)
        except Exception as error:  # noqa: BLE001 - Hypothesis wraps an escape, or several
            escapes += 1
            for one in getattr(error, "exceptions", (error,)):
                notes = "\n  ".join(getattr(one, "__notes__", ()))
                print(f"ESCAPE in {reader.name} (seed {args.seed}): {one}\n  {notes}", flush=True)
            continue
        total += ran
        print(f"{ran:7,} cases  {time.monotonic() - start:6.0f} s  {reader.name}", flush=True)
    print(
        f"{total:7,} cases  {time.monotonic() - begun:6.0f} s  in all, seeds from {args.seed} on; "
        f"readers with an escape: {escapes}"
    )
    return 1 if escapes else 0


if __name__ == "__main__":
    sys.exit(main())
