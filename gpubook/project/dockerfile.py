"""A Dockerfile read as far as the checklist asks: stages, bases, user, command.

Comments, the ``escape`` directive, continued lines, here-documents and arguments before the first
FROM are understood (https://docs.docker.com/reference/dockerfile/). `docker image inspect` tells
user and command, too, where there is an engine and after a build.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gpubook.errors import BookError

_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$|:[^/:@]*(?:\d+\.\d+\.\d+|20\d{6})[^/:@]*$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_LONGEST = 2000  # of an argument or an image's name
_HEREDOC = re.compile(r"<<(-?)\s*[\"']?([A-Za-z_]\w*)[\"']?")


class BadDockerfile(BookError):
    """A Dockerfile that the engine could not read, either."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword in capitals and the rest of it."""

    keyword: str
    value: str
    line: int


@dataclass
class Stage:
    """One build stage. ``base`` has its arguments filled in."""

    base: str
    name: str
    line: int
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, *keywords: str) -> Instruction | None:
        """The last instruction of these kinds: the one that counts for USER, CMD, ENTRYPOINT."""
        return next((i for i in reversed(self.instructions) if i.keyword in keywords), None)


def instructions(text: str) -> list[Instruction]:
    """A Dockerfile's instructions, in order. Raises BadDockerfile where one is cut short."""
    escape = "\\"
    if match := re.match(r"(?:#[^\n]*\n)*#\s*escape\s*=\s*([\\`])", text, re.IGNORECASE):
        escape = match[1]
    parsed: list[Instruction] = []
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line
        while whole.rstrip().endswith(escape):
            whole = whole.rstrip()[: -len(escape)]
            following = next((n for n in lines if not n[1].lstrip().startswith("#")), None)
            if following is None:
                raise BadDockerfile(f"Dockerfile, line {number}: its last line is continued")
            whole += " " + following[1].strip()
        keyword, _, value = whole.strip().partition(" ")
        if not re.fullmatch(r"[A-Za-z]+", keyword) or not value.strip():
            raise BadDockerfile(f"Dockerfile, line {number}: {whole.strip()[:40]!r} says nothing")
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            for dash, end in _HEREDOC.findall(value):
                strip = str.lstrip if dash else str
                if not any(strip(content) == end for _, content in lines):
                    raise BadDockerfile(f"Dockerfile, line {number}: no line {end} ends it")
        parsed.append(Instruction(keyword.upper(), value.strip(), number))
    return parsed


def stages(text: str) -> list[Stage]:
    """A Dockerfile's build stages. Raises BadDockerfile when there are none."""
    arguments: dict[str, str] = {}
    parsed: list[Stage] = []
    for one in instructions(text):
        if one.keyword == "FROM":
            words = [w for w in one.value.split() if not w.startswith("--")]
            named = len(words) == 3 and words[1].lower() == "as"
            if not (named or len(words) == 1):
                raise BadDockerfile(
                    f"Dockerfile, line {one.line}: FROM {one.value!r} is not FROM IMAGE [AS NAME]"
                )
            name = words[2].lower() if named else ""
            parsed.append(Stage(fill(words[0], arguments), name, one.line))
        elif parsed:
            parsed[-1].instructions.append(one)
        elif one.keyword == "ARG":
            for word in one.value.split():
                key, equals, value = word.partition("=")
                if equals:
                    arguments[key] = fill(value.strip("\"'"), arguments)
        else:
            raise BadDockerfile(f"Dockerfile, line {one.line}: {one.keyword} comes before FROM")
    if not parsed:
        raise BadDockerfile("Dockerfile: it has no FROM")
    return parsed


def fill(text: str, arguments: dict[str, str]) -> str:
    """``text`` with ``$NAME``, ``${NAME}`` and ``${NAME:-default}`` replaced; unknown ones stay."""

    def value(match: re.Match) -> str:
        name, kind, other = match[1] or match[4], match[2] or "", match[3] or ""
        known = arguments.get(name)
        if kind.endswith("-"):
            return known or other
        if kind.endswith("+"):
            return other if known else ""
        return match[0] if known is None else known

    if len(text) > _LONGEST or len(filled := _VARIABLE.sub(value, text)) > _LONGEST:
        raise BadDockerfile(f"Dockerfile: {text[:40]!r} is over {_LONGEST} letters with its ARGs")
    return filled


def bases(stages: list[Stage]) -> list[Stage]:
    """The stages whose base comes from a registry: no ``scratch``, no earlier stage."""
    own: set[str] = set()
    outside = []
    for number, stage in enumerate(stages):
        if stage.base.lower() not in own | {"scratch"} | {str(i) for i in range(number)}:
            outside.append(stage)
        own.add(stage.name)
    return outside


def is_pinned(base: str) -> bool:
    """Whether an image's name ends with a digest, or a tag with a full version or a date."""
    return bool(_PINNED.search(base))


def user_of(stages: list[Stage]) -> str:
    """The user of the last stage, through the stages that it is made from; empty for none."""
    stage = stages[-1]
    while True:
        if last := stage.last("USER"):
            return last.value
        earlier = [
            s for s in stages[: stages.index(stage)] if s.name and s.name == stage.base.lower()
        ]
        if not earlier:
            return ""
        stage = earlier[-1]


def is_root(user: str) -> bool:
    """Whether a USER instruction's value is root: by name or number, with or without a group."""
    name = user.split(":")[0].strip("\"' ")
    return name == "root" or bool(re.fullmatch(r"0+", name))


def command_of(stages: list[Stage]) -> list[str]:
    """Words of ENTRYPOINT and CMD of the last stage; empty where there are none."""
    words: list[str] = []
    for keyword in ("ENTRYPOINT", "CMD"):
        if last := stages[-1].last(keyword):
            words += [w for w in re.split(r"[\s\[\],\"']+", last.value) if w]
    return words
