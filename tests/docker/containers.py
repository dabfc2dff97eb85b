"""Containers that a test can't leave behind: tracked, limited in time, their logs read."""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import docker
import requests
from docker.models.containers import Container

LABEL = "gpubook.test"
# What a log has when something went wrong: Jupyter's [E …], logging's and ours, a traceback.
ERROR = re.compile(r"^\[E |\b(?:ERROR|CRITICAL)\b|^Traceback ", re.MULTILINE)


class ErrorInLog(AssertionError):
    """A container's log has a line that says ERROR."""


def listed(client: docker.DockerClient, **filters: str) -> list[Container]:
    """The containers that there are, running or not, which match ``filters``.

    The SDK asks for a list and then inspects each entry. A container that somebody removes
    between the two requests, as a Hub removes a stopped seat, is gone, and that is no error here.
    """
    return client.containers.list(all=True, filters=filters, ignore_removed=True)


@dataclass(frozen=True)
class Finished:
    """What a command left: exit code, both streams, and the image's container as it was."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@dataclass
class Containers:
    """Starts containers and removes every one of them, whatever happened."""

    client: docker.DockerClient
    mark: str = field(default_factory=lambda: secrets.token_hex(6))
    started: list[Container] = field(default_factory=list)

    def start(self, image: str, command: Sequence[str] | None = None, **options) -> Container:
        """A container in the background. ``options`` as docker-py's ``containers.create``."""
        container = self.client.containers.create(
            image, command=command, labels={LABEL: self.mark}, **options
        )
        self.started.append(container)
        container.start()
        return container

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        seconds: int = 120,
        exit_code: int = 0,
        errors_expected: bool = False,
        **options,
    ) -> Finished:
        """Run a command to its end; fail unless it ends in time, well, and without ERROR lines.

        The time limit is kept inside the container, so that the command itself is ended, and
        once more from outside for an image that runs its default command.
        """
        limited = ["timeout", "--kill-after=5", str(seconds), *command] if command else None
        container = self.start(image, limited, **options)
        try:
            ended = container.wait(timeout=seconds + 15)["StatusCode"]
        except requests.exceptions.RequestException as error:
            raise AssertionError(
                f"{command or 'the default command'} did not end in {seconds} s:\n"
                + container.logs(tail=20).decode(errors="replace")
            ) from error
        finished = Finished(
            ended,
            container.logs(stdout=True, stderr=False).decode(errors="replace"),
            container.logs(stdout=False, stderr=True).decode(errors="replace"),
        )
        self.remove(container)
        assert finished.exit_code == exit_code, (
            f"{command or 'the default command'} ended with {finished.exit_code}, "
            f"not {exit_code}:\n{finished.output[-3000:]}"
        )
        if not errors_expected:
            check_log(finished.output)
        return finished

    def remove(self, container: Container) -> None:
        """End and remove one; what it logged is gone after this."""
        container.remove(force=True, v=True)
        self.started.remove(container)

    def remove_all(self) -> None:
        """End and remove all that are left, then make sure that the engine has none."""
        for container in list(self.started):
            self.remove(container)
        left = listed(self.client, label=f"{LABEL}={self.mark}")
        assert not left, f"containers left behind: {left}"


def wait_until(
    client: docker.DockerClient,
    done: Callable[[], bool],
    otherwise: str,
    *,
    seconds: float = 120,
    **filters: str,
) -> None:
    """Wait until ``done()``, which is asked now and after each event of a container.

    ``filters`` narrow the events down. What happens between the first question and the engine's
    first answer is not missed: the engine tells it, too.
    """
    begun = time.time()
    if done():
        return
    events = client.events(
        since=int(begun), until=int(begun + seconds) + 1, decode=True,
        filters={"type": "container"} | filters,
    )  # fmt: skip
    with closing(events):
        if not any(done() for _ in events):
            raise AssertionError(f"{otherwise} after {seconds:.0f} s")


def check_log(text: str) -> None:
    """Fail on the first line that tells of an error."""
    if found := ERROR.search(text):
        start = text.rfind("\n", 0, found.start()) + 1
        raise ErrorInLog(f"the log has an error:\n{text[start : start + 1500]}")
