"""Ends a seat whose volumes have outgrown SEAT_DISK: the engine's volumes know no largest size.

A service of the Hub. Who comes back finds all files, and keeps the seat while it adds none: so some
can be deleted.
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress

import docker
import requests

SECONDS, SHARE = 2.0, 0.05  # at least between two looks; at most of the time is spent looking
SLACK = 64 * 2**20  # what a seat may add beyond its level: a notebook that is saved ends nobody's
Sizes = dict[str, int]


def sizes(volumes: list[dict], network: str, people: list[str]) -> Sizes:
    """Bytes of each learner's volumes, from what the engine says of all."""
    found = dict.fromkeys(people, 0)
    own = rf"{re.escape(network)}-(.+?)-(work|book(-[0-9a-f]{{12}}-\d+)?)"
    for volume in volumes:
        match = re.fullmatch(own, volume["Name"])
        if match and match[1] in found:
            found[match[1]] += max(0, volume["UsageData"]["Size"])
    return found


def levels_of(now: Sizes, before: Sizes, limit: int) -> Sizes:
    """What each may have: the limit, or what somebody with more has had at the least since then."""
    return {name: max(limit, min(size, before.get(name, size))) for name, size in now.items()}


def outgrown(now: Sizes, levels: Sizes) -> list[str]:
    """Whose seat ends."""
    return [name for name, size in now.items() if size > levels[name] + SLACK]


def main() -> None:
    """Look again and again, until the Hub ends this process or has died."""
    hub = os.getppid()
    engine, network = docker.from_env(), os.environ["NETWORK"]
    people, limit = os.environ["PEOPLE"].split(), int(os.environ["LIMIT"])
    levels: Sizes = {}
    while os.getppid() == hub:
        begun = time.monotonic()
        with suppress(docker.errors.DockerException, requests.RequestException):
            now = sizes(engine.df()["Volumes"] or [], network, people)
            levels = levels_of(now, levels, limit)
            for name in outgrown(now, levels):
                said = f"disk: {name} has {now[name] / 2**30:.1f} GiB: the seat ends"
                print(said, file=sys.stderr, flush=True)
                del levels[name]  # what it writes until it has ended counts as there
                with suppress(docker.errors.APIError):  # nobody sits there
                    engine.containers.get(f"{network}-{name}").kill()
        time.sleep(max(SECONDS, (time.monotonic() - begun) / SHARE))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
