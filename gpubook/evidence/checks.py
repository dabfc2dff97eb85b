"""What a page asks its reader: data in ``book/checks/NOTEBOOK.toml``, shown as plain HTML.

``[[question]]`` are the self-check at the end; ``[guess.NAME]`` is a guess before a result;
``[[solution]]`` says why the answer to an exercise is so, and may say what holds of it, for the
tests. Choosing an option or typing a guess needs no script and no network, so it works on
a rendered page, from a disk and in JupyterLab.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gpubook import files
from gpubook.errors import BookError
from gpubook.evidence.display import Shown, fill


class BadQuestions(BookError):
    """A file of questions that a reader could not answer or learn from."""


@dataclass(frozen=True)
class Option:
    """One answer to choose: its text, whether it is right, and what is said when it is chosen."""

    text: str
    right: bool
    feedback: str

    @property
    def verdict(self) -> str:
        """The first word of what is said when it is chosen."""
        return "Right." if self.right else "No."


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
    """All that one page asks.

    ``solutions`` maps an exercise to why its answer is so; ``holds`` maps some to an expression
    of Python that is true of ``answer`` and the page's evidences.
    """

    path: Path
    questions: tuple[Question, ...]
    guesses: dict[str, Guess] = field(default_factory=dict)
    solutions: dict[int, str] = field(default_factory=dict)
    holds: dict[int, str] = field(default_factory=dict)

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

    Raises BadQuestions when it cannot be read, does not follow ``checks.schema.json``, a question
    has not exactly one right option, two texts are the same, or an exercise has two solutions.
    """
    try:
        content = files.toml_of(files.read_text(path), path)
    except OSError as error:
        raise BadQuestions(f"no questions in {path}: {error.strerror}") from error
    except files.Malformed as error:
        raise BadQuestions(str(error)) from error
    if wrong := files.broken_rule(content, "gpubook.evidence", "checks.schema.json"):
        counted = re.sub(r"\[(\d+)\]", lambda match: f" {int(match[1]) + 1}", wrong)  # from one
        raise BadQuestions(f"{path}: {counted}")
    asked, solutions = content["question"], content.get("solution", [])
    guesses = {name: _guess(path, name, entry) for name, entry in content.get("guess", {}).items()}
    _distinct((entry["text"] for entry in asked), f"{path}: a question is asked twice")
    exercises = [str(entry["exercise"]) for entry in solutions]
    _distinct(exercises, f"{path}: two solutions of one exercise")
    return Checks(
        path,
        tuple(_question(f"{path}, question {n}", entry) for n, entry in enumerate(asked, 1)),
        guesses,
        {entry["exercise"]: entry["why"].strip() for entry in solutions},
        {entry["exercise"]: entry["holds"] for entry in solutions if "holds" in entry},
    )


def _question(where: str, entry: dict) -> Question:
    options = tuple(
        Option(option["text"].strip(), option["right"], option["feedback"].strip())
        for option in entry["option"]
    )
    if (right := sum(option.right for option in options)) != 1:
        raise BadQuestions(f"{where}: {right} options are right, expected exactly one")
    _distinct((option.text for option in options), f"{where}: two options are the same")
    _distinct((option.feedback for option in options), f"{where}: two options say the same")
    return Question(entry["text"].strip(), options)


def _guess(path: Path, name: str, entry: dict) -> Guess:
    options = tuple(entry.get("options", ()))
    _distinct(options, f"{path}, guess {name}: two options are the same")
    return Guess(entry["text"].strip(), options, entry.get("unit", "").strip())


def _distinct(texts: Iterable[str], complaint: str) -> None:
    folded = [text.strip().casefold() for text in texts]
    if len(set(folded)) != len(folded):
        raise BadQuestions(complaint)


def _style() -> str:
    style = files.packaged("gpubook.evidence", "checks.css")
    return re.sub(r"/\*.*?\*/|\s*\n\s*", "", style, flags=re.DOTALL)


def show_guess(guess: Guess, name: str) -> Shown:
    """A guess: radio buttons or a number. The text form is the question."""
    markup = fill("guess", asked=guess, key=f"gb-guess-{name}", style=_style())
    plain = f"Your guess: {' '.join(guess.text.split())}"
    return Shown(markup, plain + (f" ({' / '.join(guess.options)})" if guess.options else ""))


def show_result(guess: Guess, name: str, value: float | str) -> Shown:
    """The result, with room for the guess: a script on the rendered page puts it there."""
    number = f"{value:,.3g}" if isinstance(value, int | float) else value
    words = f"{number} {guess.unit}".strip()
    markup = fill("result", key=f"gb-guess-{name}", words=words)
    return Shown(markup, f"Measured: {words}.")


def show_questions(questions: tuple[Question, ...], name: str) -> Shown:
    """The questions as radio buttons; ``name`` keeps their ids apart from other pages'.

    Text form: every option with its feedback.
    """
    plain = []
    for n, question in enumerate(questions, 1):
        plain.append(f"{n}. {' '.join(question.text.split())}")
        for option, letter in zip(question.options, "abcde", strict=False):
            plain.append(f"   {letter}) {' '.join(option.text.split())}")
            plain.append(f"      {option.verdict} {' '.join(option.feedback.split())}")
    markup = fill("questions", asked=questions, name=name, style=_style())
    return Shown(markup, "\n".join(plain))
