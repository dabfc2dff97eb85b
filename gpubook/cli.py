"""The command ``gpubook``: execute, render, record and measure the book.

Imports any room; nothing imports it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gpubook import __version__
from gpubook.errors import BookError, Parser, UsageError, exit_code, number

# The rooms are imported by the command that needs them, so that --help answers at once.


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gpubook", description=__doc__.partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"gpubook {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)

    def command(name: str, does: Callable[[argparse.Namespace], int], text: str) -> Parser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(does=does)
        return sub

    run = command("run", _run, "execute notebooks headlessly; exit 1 if one fails")
    run.add_argument("notebook", nargs="*", help="a path or a name (all of the book's)")
    _execution_options(run)
    run.add_argument("--junit", metavar="FILE", type=Path, help="write a JUnit report")

    check = command("check", _check, "whether your answers to the exercises are right")
    check.add_argument("notebook", nargs="*", help="a path or a name (those that you answered)")

    book = command("book", _book, "execute what changed and render the book")
    _execution_options(book)
    book.add_argument(
        "--set", dest="settings", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="replace a setting of _config.yml, such as html.baseurl (repeatable)",
    )  # fmt: skip

    command("pdf", _pdf, "the rendered book as one PDF, printed by Chromium")

    record = command("record", _record, "promote live results to recordings/NAME/")
    record.add_argument("notebook", nargs="*", help="a path or a name (all of the book's)")
    record.add_argument("--machine", metavar="NAME", required=True)
    record.add_argument(
        "--only-live", action="store_true", help="leave replays out instead of refusing"
    )

    command("fetch", _fetch, "fetch the data set and the small model, checked by SHA-256")

    bench = command("bench", _bench, "the benchmarks: figures measured side by side in one run")
    bench.add_argument("what", choices=("matmul", "predict", "scale", "share", "train"))
    bench.add_argument("--device", choices=("cpu", "cuda"), help="(cuda where there is a GPU)")
    bench.add_argument("--json", action="store_true", help="the figures as JSON")
    bench.add_argument("--record", metavar="MACHINE", help="keep the figures in recordings/MACHINE")

    doctor = command("doctor", _doctor, "check this machine, or diagnose a log")
    doctor.add_argument(
        "file", nargs="?", metavar="FILE",
        help="a log or a pasted message, - for the pipe; without it: this machine",
    )  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="the findings as JSON")

    project = command("project", _project, "verify the final project's checklist on your folder")
    project.add_argument("folder", type=Path, metavar="FOLDER", help="holds your Dockerfile")
    project.add_argument("--json", action="store_true", help="the findings as JSON")
    project.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE",
        help="for docker build, such as another base (repeatable)",
    )  # fmt: skip
    project.add_argument(
        "--require", default="", metavar="CAPABILITIES",
        help="docker: without an engine it is an error, not an item that is not checked",
    )  # fmt: skip
    return parser


def _execution_options(parser: argparse.ArgumentParser) -> None:
    whole = number(int, 1)
    parser.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set a notebook's parameter (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--require", default="", metavar="CAPABILITIES",
        help="what must be live here, such as docker,gpu (adds to $REQUIRE)",
    )  # fmt: skip
    parser.add_argument("-j", dest="jobs", type=whole, metavar="N", help="notebooks at once")
    parser.add_argument("--force", action="store_true", help="execute what is unchanged, too")
    parser.add_argument(
        "--cell-timeout", type=whole, metavar="SECONDS", help="the longest for one cell"
    )
    parser.add_argument(
        "--timeout", type=whole, metavar="SECONDS", help="the longest for one notebook"
    )


def _say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # in one write: notebooks side by side say lines at once


def _execute(args: argparse.Namespace, wanted: Sequence[str]) -> tuple[Path, list]:
    from gpubook import machine
    from gpubook.book import execute, notebooks
    from gpubook.evidence.page import find_root

    root = find_root()
    chosen = notebooks.find(root, wanted)
    outcomes = execute.run(
        root,
        chosen,
        parameters=notebooks.assign(chosen, args.parameters),
        require=machine.required(args.require),
        jobs=args.jobs,
        force=args.force,
        cell_seconds=args.cell_timeout or execute.CELL_SECONDS,
        total_seconds=args.timeout or execute.TOTAL_SECONDS,
        progress=_say,
    )
    return root, outcomes


def _run(args: argparse.Namespace) -> int:
    from gpubook.book import junit

    if args.junit:
        junit.check_place(args.junit)
    _, outcomes = _execute(args, args.notebook)
    if args.junit:
        junit.write(args.junit, outcomes)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _check(args: argparse.Namespace) -> int:
    from gpubook.book import answers, notebooks
    from gpubook.evidence.page import find_root

    root = find_root()
    names = [notebook.name for notebook in notebooks.find(root, args.notebook)]
    chosen = names if args.notebook else [name for name in names if answers.answered(root, name)]
    if not chosen:
        raise BookError("no answer yet: run the cells of a notebook, its solutions too")
    grades = answers.check(root, chosen)
    for line in answers.lines(grades):
        print(line)
    return 1 if grades.faults else 0


def _book(args: argparse.Namespace) -> int:
    from gpubook.book import render
    from gpubook.evidence.page import find_root

    settings = dict(args.settings)
    render.configuration(find_root(), settings)  # a wrong name is said before minutes of work
    root, outcomes = _execute(args, ())
    bad = [outcome.notebook for outcome in outcomes if not outcome.good]
    if bad:
        raise BookError(f"not rendered, since these notebooks have no result: {', '.join(bad)}")
    build = root / "_build"
    index = render.render(root, executed=build / "executed", out=build / "html", settings=settings)
    print(f"The book is ready, open: {os.path.relpath(index)}")
    return 0


def _pdf(args: argparse.Namespace) -> int:
    from gpubook.book import pdf
    from gpubook.evidence.page import find_root

    root = find_root()
    out = root / "_build" / "gpu-container.pdf"
    pages = pdf.write(root, root / "_build" / "html", out)
    print(f"The book on {pages} pages: {os.path.relpath(out)}")
    return 0


def _record(args: argparse.Namespace) -> int:
    from gpubook.book import notebooks, record
    from gpubook.evidence.page import find_root

    root = find_root()
    names = [notebook.name for notebook in notebooks.find(root, args.notebook)]
    written, left_out = record.record(
        root, names, args.machine, out=root / "_build", only_live=args.only_live
    )
    for path in written:
        print(f"recorded {os.path.relpath(path)}")
    for label in left_out:
        print(f"left out {label}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from gpubook.spam import assets

    assets.fetch(_say)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _figures(what: str, device: str | None) -> dict:
    if what == "matmul":
        from gpubook.matmul import bench

        return bench.bench(device)
    from gpubook.spam import bench, sharing

    if what in ("scale", "share"):
        if device == "cpu":
            raise UsageError(f"the bench {what} is about GPUs")
        return (bench.scale if what == "scale" else sharing.measure)(progress=_to_stderr)
    return bench.train(device, progress=_to_stderr) if what == "train" else bench.predict(device)


def _bench(args: argparse.Namespace) -> int:
    from gpubook.book import record
    from gpubook.evidence.page import find_root

    if args.record:
        record.check_name(args.record)  # before the minutes that a bench takes
    figures = _figures(args.what, args.device)
    if args.record:
        _to_stderr(f"kept {record.record_bench(find_root(), figures, args.record)}")
    if args.json:
        print(json.dumps(figures, indent=1, allow_nan=False))
    else:
        _print_figures(figures)
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from gpubook.doctor import cli

    return cli.run(args)


def _project(args: argparse.Namespace) -> int:
    from gpubook.project import cli

    return cli.run(args)


def _print_figures(value: object, indent: str = "") -> None:
    """A nested result as indented lines, for people."""
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, inner in items:
        if isinstance(inner, dict | list) and inner:
            print(f"{indent}{key}:")
            _print_figures(inner, indent + "  ")
        else:
            shown = f"{inner:.4g}" if isinstance(inner, float) else inner
            print(f"{indent}{key}: {shown}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit 0 for success, 1 for a failure, 2 for misuse."""

    def command() -> int:
        args = _parser().parse_args(argv)
        return args.does(args)

    return exit_code("gpubook", command)


if __name__ == "__main__":
    sys.exit(main())
