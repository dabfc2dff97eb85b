"""The questions at the end of a page: data in ``book/checks/NOTEBOOK.toml``, shown as plain HTML.

Choosing an option shows what is right or wrong about it. That is done by style alone: no script,
no network, so it works on a rendered page, from a disk and in JupyterLab.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

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


def path_of(root: Path, notebook: str) -> Path:
    """Where a notebook's questions lie."""
    return root / "book" / "checks" / f"{notebook}.toml"


def load(path: Path) -> tuple[Question, ...]:
    """Read and check a file of questions.

    Raises BadQuestions when it cannot be read, a question has not exactly one right option among
    two to five, an option has no feedback, or two texts are the same.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadQuestions(f"no questions in {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadQuestions(f"{path} is not valid TOML: {error}") from error
    asked = found.pop("question", None)
    if found or not isinstance(asked, list) or not asked:
        raise BadQuestions(f"{path}: expected [[question]] entries and nothing else")
    questions = tuple(_question(entry, f"{path}, question {n}") for n, entry in enumerate(asked, 1))
    _distinct([q.text for q in questions], f"{path}: a question is asked twice")
    return questions


def _question(entry: object, where: str) -> Question:
    text, options = _fields(entry, {"text": str, "option": list}, where)
    if len(options) not in _OPTIONS:
        raise BadQuestions(f"{where}: {len(options)} options, expected 2 to 5")
    made = tuple(
        Option(*_fields(option, {"text": str, "right": bool, "feedback": str}, f"{where}.{n}"))
        for n, option in enumerate(options, 1)
    )
    right = sum(option.right for option in made)
    if right != 1:
        raise BadQuestions(f"{where}: {right} options are right, expected exactly one")
    _distinct([option.text for option in made], f"{where}: two options are the same")
    _distinct([option.feedback for option in made], f"{where}: two options say the same")
    return Question(text, made)


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


def show(questions: tuple[Question, ...], name: str) -> Shown:
    """The questions as radio buttons; ``name`` keeps their ids apart from other pages'.

    Text form: every option with its feedback.
    """
    style = resources.files("gpubook.evidence").joinpath("selfcheck.css").read_text("utf-8")
    style = re.sub(r"/\*.*?\*/|\s*\n\s*", "", style, flags=re.DOTALL)
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
    # A dialog's form sends nothing anywhere.
    markup = (
        f"<style>{style}</style>"
        '<form class="gb-check" method="dialog" autocomplete="off" aria-label="Check yourself">'
        f'{"".join(blocks)}<button type="reset" {KEYS}>Clear my answers</button></form>'
    )
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
