"""Judging the GPU: its driver, nodes and generation, and the torch that should compute on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpubook.doctor import compat
from gpubook.doctor.facts import NOT_ASKED, Facts
from gpubook.doctor.finding import Finding, by_rule, ok, say
from gpubook.doctor.specs import renew
from gpubook.machine.gpus import Driver, Gpu
from gpubook.machine.host import numbers

UVM = "nvidia-uvm"


def gpu(facts: Facts) -> Iterator[Finding]:
    wsl = facts.system["wsl"]
    if not facts.has_gpu:
        yield say("gpu.none")
        return
    driver, nvml = facts.get("driver", None), facts.get("nvml", Driver(error=NOT_ASKED))
    if driver and not driver["module"] and not wsl:
        yield _no_driver(facts, driver)
    elif nvml.gpus:
        yield from _gpus(nvml)
        yield from _library(driver)
    elif nvml.error == NOT_ASKED:
        if driver:
            yield ok("driver", f"driver {driver['module']} is loaded")
        yield from _library(driver)
    elif nvml.error:
        both = {"engine": facts.engine_info.get("server"), "toolkit": facts.toolkit_version}
        known = {name: version for name, version in both.items() if version}
        yield by_rule(f"Failed to initialize NVML: {nvml.error}", known)
    else:
        yield say("gpu.hidden")


def _gpus(nvml: Driver) -> Iterator[Finding]:
    names = ", ".join(f"{g.name} ({g.compute_capability})" for g in nvml.gpus)
    yield ok("gpu", f"{names}, driver {nvml.version}")
    if slices := [gpu.name for gpu in nvml.gpus if gpu.mig]:
        yield say("mig", names=", ".join(slices))


def _no_driver(facts: Facts, driver: dict[str, Any]) -> Finding:
    bus = ", ".join(facts.get("bus", "?"))
    if driver["holder"]:
        return say("driver.held", bus=bus, holder=driver["holder"])
    if driver["libraries"]["libnvidia-ml.so"]:
        return say("driver.not-signed" if driver["secure_boot"] else "driver.not-loaded", bus=bus)
    return say("driver.none", bus=bus)


def _library(driver: dict[str, Any] | None) -> Iterator[Finding]:
    if not driver or not driver["module"]:
        return
    full = [v for v in driver["libraries"]["libnvidia-ml.so"] if "." in v]
    if full and driver["module"] not in full:
        yield say("driver-library", module=driver["module"], libraries=", ".join(full))


def open_module(facts: Facts) -> Iterator[Finding]:
    """A GPU of Blackwell or later needs the open flavour of the kernel modules."""
    driver, nvml = facts.driver, facts.nvml
    if not driver["module"] or driver["open_module"] or nvml.gpus or not facts.bus:
        return
    if not nvml.error:
        yield say("open-module", module=driver["module"])


def secure_boot(facts: Facts) -> Iterator[Finding]:
    boot = facts.driver["secure_boot"]
    if boot is not None and facts.has_gpu:
        signed = ", the module is signed" if boot and facts.driver["module"] else ""
        yield ok("secure-boot", f"Secure Boot is {'on' if boot else 'off'}{signed}")


def nodes(facts: Facts) -> Iterator[Finding]:
    if not facts.has_gpu or facts.system["wsl"]:
        return
    nodes = facts.nodes["nodes"]
    gpus = [path for path in nodes if re.fullmatch(r"/dev/nvidia\d+", path)]
    missing = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm") if path not in nodes]
    missing += [] if gpus else ["/dev/nvidia0"]
    shut = [path for path, node in nodes.items() if node["device"] and not node["open"]]
    if missing:
        yield say("nodes", nodes=", ".join(sorted(missing)))
    if shut:
        yield say("node-modes", nodes=", ".join(shut), first=shut[0])
    if not missing and not shut:
        yield ok("nodes", f"{len(nodes)} nodes, among them {', '.join(gpus)}")
    yield from _uvm_number(facts)


def _uvm_number(facts: Facts) -> Iterator[Finding]:
    uvm, wanted = facts.nodes["nodes"].get("/dev/nvidia-uvm"), facts.nodes["majors"].get(UVM)
    if uvm and wanted and uvm["major"] != wanted:
        yield say("uvm-number", renew(facts), number=uvm["major"], wanted=wanted)


def torch(facts: Facts) -> Iterator[Finding]:
    if not facts.torch:
        return
    version, cuda = facts.torch["version"], facts.torch["cuda"]
    loaded, need = facts.module, compat.driver_for(cuda)
    wheel = compat.wheel_of(version, cuda, _machine(facts))
    outside = [g for g in facts.gpus if wheel and not wheel.runs_on(g.compute_capability)]
    if not cuda and facts.has_gpu:
        yield say("torch.cpu", *_other_torch(facts, facts.gpus), version=version)
    elif not cuda:
        yield ok("torch", f"torch {version}, a build for the CPU")
    elif loaded and need and numbers(loaded)[0] < need:
        yield say("torch.driver", version=version, need=need, loaded=loaded)
    elif outside:
        card = {"name": outside[0].name, "capability": outside[0].compute_capability}
        yield say("torch.code", *_other_torch(facts, outside), version=version, **card)
    else:
        yield ok("torch", f"torch {version} with CUDA {cuda}")


def _machine(facts: Facts) -> str:
    return facts.get("system", {"machine": "x86_64"})["machine"]


def _other_torch(facts: Facts, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """What installs a build of the same release that runs on these GPUs, where there is one."""
    install, loaded = "pip install --force-reinstall torch", facts.module
    if not gpus or not loaded:
        return (install,)
    card, release = gpus[0].compute_capability, facts.torch["version"]
    fits = compat.wheels_for(card, loaded, _machine(facts), release)
    return (f"{install} --index-url {compat.index_of(fits[0])}",) if fits else ()


def generations(facts: Facts) -> Iterator[Finding]:
    """Whether the loaded driver is one for this GPU's generation, now and after an upgrade."""
    for gpu in facts.nvml.gpus:
        generation = compat.generation_of(gpu.compute_capability)
        if generation and generation.last:
            words = {"generation": generation.name, "last": generation.last}
            yield say("generation", name=gpu.name, **words)
