"""The faults that the commands are tested with, as data: tests run them, a page lists them.

`python -m tests.faults` writes the page, book/faults.md.
"""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGE = ROOT / "book" / "faults.md"


@dataclass(frozen=True)
class Fault:
    """What is wrong, the command as typed, what a person sees (… is any text), the exit code."""

    what: str
    command: str
    says: str
    code: int
    make: Callable[[Path], object] = lambda folder: None


def file(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Makes one file of the folder that the command starts in."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def pipe(name: str) -> Callable[[Path], object]:
    """Makes a pipe that nobody writes to: whoever opens it to read waits for ever."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / name)

    return make


def book(content: str, name: str = "notebooks/01-a.ipynb") -> Callable[[Path], object]:
    """Makes a book with one file."""

    def make(folder: Path) -> None:
        file("_toc.yml", "")(folder)
        file(name, content)(folder)

    return make


def notebook(*cells: object, source: str | None = None) -> str:
    """A notebook of these cells, or of one cell tagged parameters."""
    tagged = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    chosen = list(cells) if source is None else [tagged]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": chosen})


def encrypted(folder: Path) -> None:
    """An archive whose flags say that a password is needed."""
    with zipfile.ZipFile(folder / "sms.zip", "w") as archive:
        archive.writestr("SMSSpamCollection", "ham\tok\n")
    raw = bytearray((folder / "sms.zip").read_bytes())
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(sign) + flags] |= 1
    (folder / "sms.zip").write_bytes(raw)


def result_pipe(folder: Path) -> None:
    """A book whose result is a pipe."""
    book(notebook())(folder)
    pipe("_build/results/01-a.json")(folder)


def result_deep(folder: Path) -> None:
    """A book whose result is nested too deep."""
    book(notebook())(folder)
    file("_build/results/01-a.json", DEEP)(folder)


def device(folder: Path) -> None:
    """A Dockerfile that never ends."""
    (folder / "Dockerfile").symlink_to("/dev/zero")


LABELS = '{"0": "ham", "1": "spam"}'
DEEP = "[" * 100_000
DEVICE = "It is a pipe or a device, not a file"
LOG = "; name a log, or pipe it into `gpubook doctor -`"
NOT = "gpubook: …/01-a.ipynb is not a notebook: "
DATA = (
    "; give the SMS Spam Collection with --data FILE, or leave --data out to use the fetched one."
)

FAULTS = (
    Fault("no such log", "gpubook doctor no.log",
          f"gpubook: cannot read no.log: No such file or directory{LOG}", 2),
    Fault("a log that is a pipe", "gpubook doctor log",
          f"gpubook: cannot read log: {DEVICE}{LOG}", 2, pipe("log")),
    Fault("a log without an end", "gpubook doctor /dev/zero",
          f"gpubook: cannot read /dev/zero: {DEVICE}{LOG}", 2),
    Fault("a log that is a folder", "gpubook doctor .",
          f"gpubook: cannot read .: Is a directory{LOG}", 2),
    Fault("standard input is closed", "gpubook doctor - <&-",
          "gpubook: standard input is closed: pipe a text in, or name a file", 2),
    Fault("standard input is closed", "spam_predict <&-",
          "spam_predict: standard input is closed: pipe a text in, or name a file", 2),
    Fault("standard output is closed", "gpubook doctor log >&-",
          "gpubook: standard output is closed: there is no place to print to", 1, file("log", "")),
    Fault("the disk under standard output is full", "gpubook doctor log >/dev/full",
          "gpubook: cannot print: No space left on device", 1, file("log", "")),
    Fault("the help goes to a full disk", "gpubook --help >/dev/full",
          "gpubook: cannot print: No space left on device", 1),
    Fault("a name that would rewrite the terminal", "gpubook doctor \x1b[2J.log",
          f"gpubook: cannot read .log: No such file or directory{LOG}", 2),
    Fault("messages without an end", "spam_predict --file /dev/zero",
          f"spam_predict: --file /dev/zero: {DEVICE}", 2),
    Fault("messages without an end, piped", "spam_predict - </dev/zero",
          "spam_predict: --file -: It is larger than 64 MiB", 2),
    Fault("a notebook of deep JSON", "gpubook run",
          f"{NOT}…/01-a.ipynb is not JSON: it is nested too deep", 1, book(DEEP)),
    Fault("a notebook whose cells are a number", "gpubook run",
          f"{NOT}cells must be array", 1,
          book('{"nbformat": 4, "metadata": {}, "cells": 5}')),
    Fault("a notebook with an empty cell", "gpubook run",
          f"{NOT}cells[0] must contain ['cell_type', 'metadata', 'source'] properties", 1,
          book(notebook({}))),
    Fault("a parameters cell that is not Python", "gpubook run",
          "gpubook: …/01-a.ipynb: the parameters cell is not Python: '(' was never closed…", 1,
          book(notebook(source="N = (3"))),
    Fault("a parameter that is not a literal", "gpubook run",
          "gpubook: …/01-a.ipynb: parameter N is not a literal", 1,
          book(notebook(source="N = f(3)"))),
    Fault("a notebook that is a pipe", "gpubook run",
          f"gpubook: no notebook …/01-a.ipynb: {DEVICE}", 2,
          lambda folder: (file("_toc.yml", "")(folder), pipe("notebooks/01-a.ipynb")(folder))),
    Fault("a report into a folder that is not there", "gpubook run --junit no/x.xml",
          "gpubook: --junit no/x.xml: there is no folder no; make it first", 2, book(notebook())),
    Fault("a name of 300 letters for a machine", f"gpubook record --machine {'a' * 300}",
          f"gpubook: '{'a' * 60}' is no name for a machine: use small letters, digits and hyphens, "
          "60 at most", 2, book(notebook())),
    Fault("a result that is a pipe", "gpubook record --machine box",
          f"gpubook: cannot read …/01-a.json: {DEVICE}", 1, result_pipe),
    Fault("a result of deep JSON", "gpubook record --machine box",
          "gpubook: …/01-a.json is not JSON: it is nested too deep", 1,
          result_deep),
    Fault("a Dockerfile without an end", "gpubook project .",
          f"missing      dockerfile    Dockerfile: {DEVICE} | …", 1, device),
    Fault("a Dockerfile that is a pipe", "gpubook project .",
          f"missing      dockerfile    Dockerfile: {DEVICE} | …", 1, pipe("Dockerfile")),
    Fault("ARGs that double 33 times", "gpubook project .",
          "missing      dockerfile    Dockerfile: '$A$A' is over 2000 letters with its ARGs | …", 1,
          file("Dockerfile", "ARG A=xxxx\n" + "ARG A=$A$A\n" * 33 + "FROM $A\n")),
    Fault("a script nested too deep", "gpubook project .",
          "missing      clock         no Python file here reads a clock | …", 1,
          file("a.py", f"import time\ntime.perf_counter()\n{'-' * 5000}1\n")),
    Fault("a result nested too deep", "gpubook project .",
          "missing      result        result.json is not JSON: it is nested too deep | …", 1,
          file("result.json", DEEP)),
    Fault("an encrypted archive", "spam_classify --data sms.zip",
          "spam_classify: Cannot read sms.zip: it is a damaged or an encrypted archive (…)" + DATA,
          1, encrypted),
    Fault("data that is a pipe", "spam_classify --data sms",
          f"spam_classify: Cannot read sms: {DEVICE}{DATA}", 1, pipe("sms")),
    Fault("another program's folder as output", "spam_classify --output mine",
          "spam_classify: --output mine: the folder holds other files (metrics.json), and a result "
          "replaces the whole folder; choose a new or an empty one", 2,
          file("mine/metrics.json", "{}")),
    Fault("a model of deep JSON", "spam_predict --model mine hello",
          "spam_predict: mine holds no readable config.json (mine/config.json is not JSON: it is "
          "nested too deep); give a folder that spam_classify wrote.", 1,
          file("mine/config.json", '{"a":' * 100_000)),
    Fault("a model with fewer than no layers", "spam_predict --model mine hello",
          "spam_predict: mine holds no readable config.json (num_hidden_layers must be bigger than "
          "or equal to 1); give a folder that spam_classify wrote.", 1,
          file("mine/config.json", '{"model_type": "bert", "num_hidden_layers": -1}')),
    Fault("a threshold that is a text", "spam_predict --model mine hello",
          "spam_predict: mine holds no readable config.json (spam_threshold must be number); give "
          "a folder that spam_classify wrote.", 1,
          file("mine/config.json", '{"model_type": "bert", "spam_threshold": "high"}')),
    Fault("a model that nobody has trained", "spam_predict --model mine hello",
          "spam_predict: mine is no whole result of spam_classify: spam-classifier.json: No such "
          "file or directory; copy the folder again, or train with `spam_classify --output "
          "FOLDER`.", 1,
          file("mine/config.json", f'{{"model_type": "bert", "id2label": {LABELS}}}')),
)  # fmt: skip

HEAD = """# Faults and what they say

For contributors. Each line is a test (`tests/unit/test_faults.py`), and this page is made from the
same data: `python -m tests.faults`. A fault ends in one line, with an exit code that a script can
act on: 1 for a failure, 2 for misuse, 130 for Ctrl-C, 141 for a reader that has gone.

Errors become lines in one place, `exit_code` in `gpubook/errors.py`, and files are read in one,
`gpubook/files.py`. `make fuzz` looks for what both have missed.

| fault | command | what a person sees | exit code |
| --- | --- | --- | ---: |
"""


def _code(text: str) -> str:
    shown = text.replace("\x1b", "\\x1b").replace("|", "\\|").replace("a" * 60, "aaa…")
    shown = shown.replace("aaa…" * 5, "aaa…")
    fence = "``" if "`" in shown else "`"
    return f"{fence} {shown} {fence}" if "`" in shown else f"`{shown}`"


def page() -> str:
    """The page's text."""
    rows = [f"| {f.what} | {_code(f.command)} | {_code(f.says)} | {f.code} |\n" for f in FAULTS]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
