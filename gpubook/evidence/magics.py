"""The machinery of a page in one line: cell magics over plain shell and plain Python.

::

    %%terminal docker-info --needs docker
    docker info

    %%measure process-chain --needs docker
    container = client.containers.run(IMAGE, "sleep 60", detach=True)
    ...
    [{"pid": pid, "name": name}]

    %%solution 2 --of process-chain
    sum(row["seconds"] for row in process_chain)

The first word names the evidence. The body is plain code. Where this machine has what the cell
needs, the body runs; elsewhere it is shown, not run, and a recording takes its place. Either way
the evidence is afterwards a variable of the same name with underscores: for ``%%measure`` the
value of the body's last line, for ``%%terminal`` a list of what each command printed. Nothing
else that a measured body defines stays, so a page cannot come to rely on what only ran here.

Options of all: ``--needs CAPABILITIES``; ``--head LINES`` folds longer output. Of ``%%measure``:
``--show NAME`` draws the value with a function of the notebook, ``--quiet`` shows the chip alone,
``--caption TEXT``. Of ``%%terminal``: ``--timeout SECONDS`` for each command (60),
``--expect-failure`` where the error is what the page shows. Of ``%%solution``: the exercise's
number, and ``--of NAMES``, the evidences it uses; with ``--needs`` its answer is an evidence
(``exercise-2``) that can be replayed.
"""

from __future__ import annotations

import argparse
import ast
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from gpubook.errors import UsageError
from gpubook.evidence import display, terminal
from gpubook.evidence.records import EvidenceError

if TYPE_CHECKING:
    from gpubook.evidence.page import Page


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def _parser(magic: str, *arguments: tuple[str, dict]) -> _Parser:
    parser = _Parser(prog=f"%%{magic}", add_help=False)
    common = ("--needs", {"default": ""}), ("--head", {"type": int})
    for name, options in (*arguments, *common):
        parser.add_argument(name, **options)
    return parser


_FLAG = {"action": "store_true"}
PARSERS = {
    "terminal": _parser(
        "terminal",
        ("name", {}),
        ("--timeout", {"type": float, "default": 60.0}),
        ("--expect-failure", _FLAG),
    ),
    "measure": _parser(
        "measure",
        ("name", {}),
        ("--show", {"default": ""}),
        ("--caption", {"default": ""}),
        ("--quiet", _FLAG),
    ),
    "solution": _parser("solution", ("exercise", {"type": int}), ("--of", {"default": ""})),
}
"""The options of each magic; also what reads a notebook's cells without running them."""


def variable(name: str) -> str:
    """The variable that holds an evidence: ``process-chain`` → ``process_chain``."""
    return name.replace("-", "_")


def run_body(shell: Any, magic: str, cell: str) -> Any:
    """Run a cell's body in a copy of the notebook's names; return its last line's value.

    Raises UsageError when the last line is not an expression.
    """
    body = shell.transform_cell(cell)
    tree = ast.parse(body)
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        raise UsageError(f"%%{magic}: the last line must be an expression: the value to keep")
    names = dict(shell.user_ns)
    file = shell.compile.cache(body)  # so that a traceback shows the cell's lines
    last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    exec(compile(tree, file, "exec"), names)  # noqa: S102 - this is what a cell is
    return eval(compile(last, file, "eval"), names)


def _terminal(page: Page, shell: Any, line: str, cell: str) -> None:
    options = PARSERS["terminal"].parse_args(shlex.split(line))
    lines = terminal.commands(cell)

    def same(data: Any) -> bool:
        return [step["command"] for step in data["steps"]] == lines

    def run() -> dict:
        steps = terminal.run_all(lines, options.timeout, expect_failure=options.expect_failure)
        return {"steps": steps}

    def draw(data: Any) -> display.Shown:
        return display.transcript(data["steps"], head=options.head)

    evidence = page.ledger.measure(options.name, run, needs=options.needs)
    if not same(evidence.data):
        raise EvidenceError(
            f"{page.notebook}/{options.name}: the recording on {evidence.machine} is of other "
            "commands: record it again"
        )
    outputs = [step["stdout"] for step in evidence.data["steps"]]
    shell.user_ns[variable(options.name)] = outputs
    display.show(page.machines(options.name, draw, others=same))


def _measure(page: Page, shell: Any, line: str, cell: str) -> None:
    options = PARSERS["measure"].parse_args(shlex.split(line))

    def draw(data: Any) -> Any:
        if options.show:
            return shell.user_ns[options.show](data)
        return display.value(data, caption=options.caption, head=options.head)

    evidence = page.ledger.measure(
        options.name, lambda: run_body(shell, "measure", cell), needs=options.needs
    )
    shell.user_ns[variable(options.name)] = evidence.data
    if options.quiet:
        display.show(display.chip(evidence))
    else:
        display.show(page.machines(options.name, draw))


def _solution(page: Page, shell: Any, line: str, cell: str) -> None:
    options = PARSERS["solution"].parse_args(shlex.split(line))
    of = [page.evidence(name).name for name in options.of.split(",") if name]
    if options.needs:
        name = f"exercise-{options.exercise}"
        evidence = page.ledger.measure(
            name, lambda: run_body(shell, "solution", cell), needs=options.needs
        )
        answer, of = evidence.data, [*of, name]
    else:
        answer = run_body(shell, "solution", cell)
    page.ledger.answer(options.exercise, answer, of)
    display.show(display.value(answer, head=options.head))
    if answer is not None:  # the reason would give a learner's empty cell away
        display.show(page.solution(options.exercise))


def register(page: Page) -> None:
    """Give the running IPython session the magics, bound to ``page``. Elsewhere, do nothing."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return
    for name, run in {"terminal": _terminal, "measure": _measure, "solution": _solution}.items():
        shell.register_magic_function(partial(run, page, shell), "cell", name)
