"""What a page asks its reader: data in ``book/checks/NOTEBOOK.toml``, shown as plain HTML.

``[[question]]`` are the self-check at the end; ``[guess.NAME]`` is a guess before a result;
``[[solution]]`` says why the answer to an exercise is so. Choosing an option or typing a guess
needs no script and no network, so it works on a rendered page, from a disk and in JupyterLab.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from gpubook import files
from gpubook.errors import BookError
from gpubook.evidence.display import KEYS, Shown, inline

_OPTIONS = range(2, 6)


class BadQuestions(BookError):
    """A file of questions that a reader could not answer or learn from."""


@dataclass(frozen=True)
class Option:
    """One answer to choose: its text, whether it is right, and what is said when it is chosen."""

    text: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A question and its options, exactly one of which is right."""

    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Guess:
    """A question before a result: options to choose from, or a number with a unit."""

    text: str
    options: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Checks:
    """All that one page asks. ``solutions`` maps an exercise to why its answer is so."""

    path: Path
    questions: tuple[Question, ...]
    guesses: dict[str, Guess] = field(default_factory=dict)
    solutions: dict[int, str] = field(default_factory=dict)

    def guess(self, name: str) -> Guess:
        """The guess of that name. Raises BadQuestions when there is none."""
        if name not in self.guesses:
            raise BadQuestions(f"{self.path}: no [guess.{name}]")
        return self.guesses[name]

    def solution(self, exercise: int) -> str:
        """Why the answer to an exercise is so. Raises BadQuestions when nothing says it."""
        if exercise not in self.solutions:
            raise BadQuestions(f"{self.path}: no [[solution]] with exercise = {exercise}")
        return self.solutions[exercise]


def path_of(root: Path, notebook: str) -> Path:
    """Where a notebook's questions lie."""
    return root / "book" / "checks" / f"{notebook}.toml"


def load(path: Path) -> Checks:
    """Read and check a file of questions.

    Raises BadQuestions when it cannot be read, a question has not exactly one right option among
    two to five, an option has no feedback, two texts are the same, a guess has neither options
    nor a unit, or an exercise has two solutions.
    """
    try:
        content = files.toml_of(files.read_text(path), path)
    except OSError as error:
        raise BadQuestions(f"no questions in {path}: {error.strerror}") from error
    except files.Malformed as error:
        raise BadQuestions(str(error)) from error
    asked = content.pop("question", None)
    guesses, solutions = content.pop("guess", {}), content.pop("solution", [])
    if content or not isinstance(asked, list) or not asked:
        raise BadQuestions(
            f"{path}: expected [[question]], [[solution]] and [guess.NAME] entries, nothing else"
        )
    questions = tuple(_question(entry, f"{path}, question {n}") for n, entry in enumerate(asked, 1))
    _distinct([q.text for q in questions], f"{path}: a question is asked twice")
    return Checks(
        path,
        questions,
        {name: _guess(entry, f"{path}, guess {name}") for name, entry in guesses.items()},
        _solutions(solutions, path),
    )


def _question(entry: object, where: str) -> Question:
    text, options = _fields(entry, {"text": str, "option": list}, where)
    if len(options) not in _OPTIONS:
        raise BadQuestions(f"{where}: {len(options)} options, expected 2 to 5")
    choices = tuple(
        Option(*_fields(option, {"text": str, "right": bool, "feedback": str}, f"{where}.{n}"))
        for n, option in enumerate(options, 1)
    )
    right = sum(option.right for option in choices)
    if right != 1:
        raise BadQuestions(f"{where}: {right} options are right, expected exactly one")
    _distinct([option.text for option in choices], f"{where}: two options are the same")
    _distinct([option.feedback for option in choices], f"{where}: two options say the same")
    return Question(text, choices)


def _guess(entry: object, where: str) -> Guess:
    if isinstance(entry, dict) and "options" in entry:
        text, options = _fields(entry, {"text": str, "options": list}, where)
        if len(options) not in _OPTIONS or not all(isinstance(o, str) and o for o in options):
            raise BadQuestions(f"{where}: expected 2 to 5 options, each a text")
        _distinct(options, f"{where}: two options are the same")
        return Guess(text, options=tuple(options))
    text, unit = _fields(entry, {"text": str, "unit": str}, where)
    return Guess(text, unit=unit)


def _solutions(entries: object, path: Path) -> dict[int, str]:
    if not isinstance(entries, list):
        raise BadQuestions(f"{path}: solutions are [[solution]] entries")
    pairs = [
        _fields(entry, {"exercise": int, "why": str}, f"{path}, solution {n}")
        for n, entry in enumerate(entries, 1)
    ]
    if len(dict(pairs)) < len(pairs):
        raise BadQuestions(f"{path}: two solutions of one exercise")
    return dict(pairs)


def _fields(entry: object, kinds: dict[str, type], where: str) -> list:
    if not isinstance(entry, dict) or set(entry) != set(kinds):
        raise BadQuestions(f"{where}: expected the fields {', '.join(kinds)} and no others")
    for name, kind in kinds.items():
        if not isinstance(entry[name], kind) or entry[name] in ("", []):
            raise BadQuestions(f"{where}: {name} is empty or of another type")
    return [entry[name].strip() if kind is str else entry[name] for name, kind in kinds.items()]


def _distinct(texts: list[str], complaint: str) -> None:
    if len({text.casefold() for text in texts}) != len(texts):
        raise BadQuestions(complaint)


def _style() -> str:
    style = resources.files("gpubook.evidence").joinpath("checks.css").read_text("utf-8")
    return re.sub(r"/\*.*?\*/|\s*\n\s*", "", style, flags=re.DOTALL)


def _form(kind: str, label: str, content: str) -> str:
    """A form that sends nothing anywhere: its method is a dialog's."""
    return (
        f'<form class="{kind}" method="dialog" autocomplete="off" aria-label="{label}">'
        f"{content}</form>"
    )


def show_guess(guess: Guess, name: str) -> Shown:
    """A guess: radio buttons or a number. The text form is the question."""
    key = f"gb-guess-{html.escape(name)}"
    if guess.options:
        inputs = "".join(
            f'<label><input type="radio" name="{key}" value="{html.escape(option)}" {KEYS}> '
            f"{inline(option)}</label> "
            for option in guess.options
        )
    else:
        inputs = (
            f'<label><input type="number" step="any" name="{key}" {KEYS}> '
            f"{html.escape(guess.unit)}</label>"
        )
    legend = f"<legend><strong>Your guess.</strong> {inline(guess.text)}</legend>"
    markup = f"<style>{_style()}</style>" + _form(
        "gb-guess", "Your guess", f"<fieldset>{legend}{inputs}</fieldset>"
    )
    plain = f"Your guess: {' '.join(guess.text.split())}"
    return Shown(markup, plain + (f" ({' / '.join(guess.options)})" if guess.options else ""))


def show_result(guess: Guess, name: str, value: float | str) -> Shown:
    """The result, with room for the guess: a script on the rendered page puts it there."""
    number = f"{value:,.3g}" if isinstance(value, int | float) else value
    words = f"{number} {guess.unit}".strip()
    markup = (
        f'<p class="gb-result" data-guess="gb-guess-{html.escape(name)}">Measured: '
        f"<strong>{html.escape(words)}</strong>.</p>"
    )
    return Shown(markup, f"Measured: {words}.")


def show_questions(questions: tuple[Question, ...], name: str) -> Shown:
    """The questions as radio buttons; ``name`` keeps their ids apart from other pages'.

    Text form: every option with its feedback.
    """
    blocks, plain = [], []
    for n, question in enumerate(questions, 1):
        options = [
            _option(option, f"gb-check-{name}-{n}", letter)
            for option, letter in zip(question.options, "abcde", strict=False)
        ]
        blocks.append(
            f"<fieldset><legend>{n}. {inline(question.text)}</legend>{''.join(options)}</fieldset>"
        )
        plain.append(f"{n}. {' '.join(question.text.split())}")
        for option, letter in zip(question.options, "abcde", strict=False):
            plain.append(f"   {letter}) {' '.join(option.text.split())}")
            plain.append(f"      {_verdict(option)} {' '.join(option.feedback.split())}")
    reset = f'<button type="reset" {KEYS}>Clear my answers</button>'
    form = _form("gb-check", "Check yourself", f"{''.join(blocks)}{reset}")
    markup = f"<style>{_style()}</style>{form}"
    return Shown(markup, "\n".join(plain))


def _verdict(option: Option) -> str:
    return "Right." if option.right else "No."


def _option(option: Option, group: str, letter: str) -> str:
    kind = "right" if option.right else "wrong"
    return (
        f'<div class="gb-option"><input type="radio" name="{group}" id="{group}-{letter}" {KEYS}>'
        f'<label for="{group}-{letter}">{inline(option.text)}</label>'
        f'<div role="status"><p class="gb-said gb-said-{kind}"><strong>{_verdict(option)}</strong> '
        f"{inline(option.feedback)}</p></div></div>"
    )
