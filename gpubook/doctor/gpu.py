"""Judging the GPU: its driver, nodes and generation, and the torch that should compute on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gpubook.doctor import compat
from gpubook.doctor.common import INSTALL_DRIVER, gpus, has_gpu, module, renew, versions
from gpubook.doctor.facts import NOT_ASKED, Facts
from gpubook.doctor.finding import Finding, by_rule, ok, problem, warning
from gpubook.machine.gpus import Driver, Gpu
from gpubook.machine.host import numbers

UVM = "nvidia-uvm"


def gpu(facts: Facts) -> Iterator[Finding]:
    wsl = facts.system["wsl"]
    if not has_gpu(facts):
        yield warning(
            "gpu",
            "no NVIDIA GPU on this machine",
            "the book shows recordings where a GPU would be measured; in a virtual machine the GPU "
            "has to be handed in",
            "lspci -nn | grep -i nvidia",
        )
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
        yield by_rule("driver", f"Failed to initialize NVML: {nvml.error}", versions(facts))
    else:
        what = "the driver answers and shows no GPU"
        yield problem("gpu", what, "CUDA finds no device", "nvidia-smi -L")


def _gpus(nvml: Driver) -> Iterator[Finding]:
    names = ", ".join(f"{g.name} ({g.compute_capability})" for g in nvml.gpus)
    yield ok("gpu", f"{names}, driver {nvml.version}")
    if slices := [gpu.name for gpu in nvml.gpus if gpu.mig]:
        yield warning(
            "mig",
            f"MIG is on: {', '.join(slices)} is cut into slices",
            "a container needs a slice by its name; the whole GPU cannot be used",
            "nvidia-smi -L",
            "docker run --rm --gpus '\"device=0:0\"' IMAGE nvidia-smi -L",
        )


def _no_driver(facts: Facts, driver: dict[str, Any]) -> Finding:
    at = f"a GPU is on the bus ({', '.join(facts.get('bus', '?'))})"
    why = "nothing can use the GPU until the kernel module is loaded"
    if holder := driver["holder"]:
        return problem(
            "driver",
            f"{at}, and {holder} has it",
            why,
            f"echo blacklist {holder} | sudo tee /etc/modprobe.d/blacklist-{holder}.conf",
            "sudo update-initramfs -u",
            "sudo reboot",
        )
    if driver["libraries"]["libnvidia-ml.so"]:
        boot = driver["secure_boot"]
        return problem(
            "driver",
            f"{at}, its driver is installed and not loaded"
            + (", and Secure Boot is on" if boot else ""),
            why,
            *(("mokutil --sb-state",) if boot else ()),
            "sudo modprobe nvidia",
            "sudo apt-get install -y linux-modules-nvidia-580-server-$(uname -r)",
        )
    return problem("driver", f"{at}, and no NVIDIA driver is installed", why, *INSTALL_DRIVER)


def _library(driver: dict[str, Any] | None) -> Iterator[Finding]:
    if not driver or not driver["module"]:
        return
    full = [v for v in driver["libraries"]["libnvidia-ml.so"] if "." in v]
    if full and driver["module"] not in full:
        yield problem(
            "driver-library",
            f"the kernel module is {driver['module']}, the installed library {', '.join(full)}",
            "the driver was updated under the running module: programs fail with 'Driver/library "
            "version mismatch'",
            "sudo reboot",
        )


def open_module(facts: Facts) -> Iterator[Finding]:
    """A GPU of Blackwell or later needs the open flavour of the kernel modules."""
    driver, nvml = facts.driver, facts.nvml
    if not driver["module"] or driver["open_module"] or nvml.gpus or not facts.bus:
        return
    if not nvml.error:
        yield warning(
            "open-module",
            f"driver {driver['module']} is loaded, in the proprietary flavour, and finds no GPU",
            "GPUs from Blackwell on need the open flavour",
            "sudo dmesg | grep -i 'open kernel modules'",
            "sudo ubuntu-drivers install --gpgpu nvidia:580-server-open",
        )


def secure_boot(facts: Facts) -> Iterator[Finding]:
    boot = facts.driver["secure_boot"]
    if boot is not None and has_gpu(facts):
        signed = ", the module is signed" if boot and facts.driver["module"] else ""
        yield ok("secure-boot", f"Secure Boot is {'on' if boot else 'off'}{signed}")


def nodes(facts: Facts) -> Iterator[Finding]:
    if not has_gpu(facts) or facts.system["wsl"]:
        return
    nodes = facts.nodes["nodes"]
    gpus = [path for path in nodes if re.fullmatch(r"/dev/nvidia\d+", path)]
    missing = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm") if path not in nodes]
    missing += [] if gpus else ["/dev/nvidia0"]
    shut = [path for path, node in nodes.items() if node["device"] and not node["open"]]
    if missing:
        yield problem(
            "nodes",
            f"missing: {', '.join(sorted(missing))}",
            "nvidia-smi needs nvidiactl and the GPU's own node, CUDA needs nvidia-uvm too",
            "sudo nvidia-modprobe -u -c=0",
        )
    if shut:
        yield problem(
            "node-modes",
            f"this user may not open {', '.join(shut)}",
            "NVML says 'Insufficient Permissions', CUDA finds no device",
            "ls -l /dev/nvidia*",
            f"sudo usermod -aG $(stat -c %G {shut[0]}) $USER",
        )
    if not missing and not shut:
        yield ok("nodes", f"{len(nodes)} nodes, among them {', '.join(gpus)}")
    yield from _uvm_number(facts)


def _uvm_number(facts: Facts) -> Iterator[Finding]:
    uvm, wanted = facts.nodes["nodes"].get("/dev/nvidia-uvm"), facts.nodes["majors"].get(UVM)
    if uvm and wanted and uvm["major"] != wanted:
        yield problem(
            "uvm-number",
            f"/dev/nvidia-uvm has number {uvm['major']}, the kernel gave nvidia-uvm {wanted}",
            "nvidia-smi works and CUDA fails with an unknown error; the commands delete the nodes "
            "and make new ones",
            "sudo rm /dev/nvidia-uvm /dev/nvidia-uvm-tools",
            "sudo nvidia-modprobe -u -c=0",
            *renew(facts),
        )


def torch(facts: Facts) -> Iterator[Finding]:
    if not facts.torch:
        return
    version, cuda = facts.torch["version"], facts.torch["cuda"]
    loaded, need = module(facts), compat.driver_for(cuda)
    wheel = compat.wheel_of(version, cuda, _machine(facts))
    outside = [g for g in gpus(facts) if wheel and not wheel.runs_on(g.compute_capability)]
    if not cuda and has_gpu(facts):
        yield warning(
            "torch",
            f"torch {version} is a build for the CPU",
            "it does not use the GPU",
            *_other_torch(facts, gpus(facts)),
        )
    elif not cuda:
        yield ok("torch", f"torch {version}, a build for the CPU")
    elif loaded and need and numbers(loaded)[0] < need:
        yield problem(
            "torch",
            f"torch {version} needs driver {need} or later, {loaded} is loaded",
            "torch.cuda.is_available() is False",
            *INSTALL_DRIVER,
        )
    elif outside:
        yield problem(
            "torch",
            f"torch {version} holds no code for {outside[0].name} "
            f"({outside[0].compute_capability})",
            "'no kernel image is available for execution on the device'",
            "python -c 'import torch; print(torch.cuda.get_arch_list())'",
            *_other_torch(facts, outside),
        )
    else:
        yield ok("torch", f"torch {version} with CUDA {cuda}")


def _machine(facts: Facts) -> str:
    return facts.get("system", {"machine": "x86_64"})["machine"]


def _other_torch(facts: Facts, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """What installs a build of the same release that runs on these GPUs, where there is one."""
    install, loaded = "pip install --force-reinstall torch", module(facts)
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
            yield warning(
                "generation",
                f"{gpu.name} is of the generation {generation.name}",
                f"driver {generation.last} is the last branch for it, and CUDA 13 has no code for "
                "it: stay with both",
                f"sudo apt-mark hold nvidia-utils-{generation.last}-server",
            )
