"""What several checks ask of the facts."""

from __future__ import annotations

from gpubook.doctor.facts import Facts
from gpubook.machine.host import numbers

BY_SERVICE = (1, 18)
"""The first toolkit with a service that renews CDI specifications."""


def engine_info(facts: Facts) -> dict:
    """What the engine says of itself; empty where none answers."""
    return facts.get("engine", {}).get("info") or {}


def module(facts: Facts) -> str:
    """The version of the loaded kernel module; empty for none."""
    return facts.get("driver", {"module": ""})["module"]


def gpus(facts: Facts) -> tuple:
    """The GPUs that NVML shows."""
    nvml = facts.get("nvml", None)
    return nvml.gpus if nvml else ()


def has_gpu(facts: Facts) -> bool:
    """Whether anything speaks for an NVIDIA GPU: on the bus, its driver, its nodes."""
    nodes = facts.get("nodes", {"nodes": {}})["nodes"]
    on_bus = facts.get("bus", [])
    return bool(on_bus or module(facts) or any(node["device"] for node in nodes.values()))


def toolkit_version(facts: Facts) -> str:
    """The toolkit's version; empty where it is not known."""
    return facts.get("toolkit", {"version": ""})["version"]


def versions(facts: Facts) -> dict[str, str]:
    """The engine's and the toolkit's versions, where known, for choosing a fix."""
    both = {"engine": engine_info(facts).get("server"), "toolkit": toolkit_version(facts)}
    return {name: version for name, version in both.items() if version}


def renew(facts: Facts) -> str:
    """The commands that make the CDI specification anew with this toolkit, by their name."""
    return "@renew" if numbers(toolkit_version(facts)) >= BY_SERVICE else "@generate"
