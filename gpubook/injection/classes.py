"""What the NVIDIA Container Toolkit injects, as data: classes, files, purposes, capabilities.

Sources: the names and their grouping by driver capability follow ``src/nvc_info.c`` of
libnvidia-container and the discoverers in ``nvidia-container-toolkit`` (``internal/discover``,
``pkg/nvcdi``); the purposes are ours, after the driver's README ("Installed Components").

A *capability* is a word of ``NVIDIA_DRIVER_CAPABILITIES``. On the legacy path it selects files;
on the CDI paths every file of the specification arrives whatever the variable says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Class:
    """One kind of injected thing."""

    id: str
    title: str
    purpose: str


CLASSES = {
    c.id: c
    for c in (
        Class("gpu-node", "GPU device node", "One per GPU: programs open it to reach that GPU."),
        Class("control-node", "control device nodes", "Shared by all GPUs: control and memory."),
        Class("drm-node", "DRM device nodes", "Rendering and display through the kernel's DRM."),
        Class("mig-imex-node", "MIG and IMEX nodes", "Rights on GPU slices and memory channels."),
        Class("driver-library", "driver libraries", "The user half of the driver."),
        Class("driver-binary", "driver programs", "Tools that belong to the driver's version."),
        Class("firmware", "GSP firmware", "Code for the GPU's own system processor."),
        Class("ipc-socket", "IPC sockets", "Ways to daemons that run on the host."),
        Class("graphics-config", "graphics configuration", "Tells a loader which driver to load."),
        Class("procfs", "files under /proc/driver/nvidia", "What the driver says of itself."),
        Class("hook-workspace", "a hook's scratch folder", "Where a hook keeps its edited file."),
        Class("link", "library links", "SONAME links that make versioned files findable."),
        Class("ld-config", "loader configuration", "Names the folders of the driver libraries."),
        Class("ld-cache", "loader cache entries", "What the dynamic loader finds by name."),
        Class("environment", "environment variables", "What was asked for, and what was done."),
        Class("device-rule", "device cgroup rules", "Permission to open a device node."),
        Class("hook", "OCI hooks", "Programs run while the container is being created."),
        Class("wsl", "WSL2 driver", "GPU access through the Windows host."),
        Class("device-flag", "device from --device", "Passed through as the command line asked."),
        Class(UNKNOWN, "unknown", "In no table of this book: look at it."),
    )
}


@dataclass(frozen=True)
class Known:
    """A file known by name: its class, driver capability ("" for none) and purpose."""

    class_id: str
    capability: str
    purpose: str


# Library stems, without "lib" and ".so...". (capability, purpose)
LIBRARIES: dict[str, tuple[str, str]] = {
    "nvidia-ml": ("utility", "NVML: monitoring and management; nvidia-smi is built on it"),
    "nvidia-cfg": ("utility", "queries the configuration of GPUs"),
    "nvidia-nscq": ("utility", "queries NVSwitch fabrics"),
    "cuda": ("compute", "the CUDA driver API, which every CUDA program loads"),
    "cudadebugger": ("compute", "debugger support for CUDA programs"),
    "nvidia-opencl": ("compute", "the OpenCL implementation"),
    "nvidia-gpucomp": ("compute", "the compiler that the other libraries share"),
    "nvidia-ptxjitcompiler": ("compute", "compiles PTX to the GPU's machine code at run time"),
    "nvidia-fatbinaryloader": ("compute", "loads CUDA binaries (older drivers)"),
    "nvidia-allocator": ("compute", "memory allocation for buffers, used by GBM too"),
    "nvidia-compiler": ("compute", "OpenCL compiler (older drivers)"),
    "nvidia-nvvm": ("compute", "NVVM, the compiler behind link-time optimisation"),
    "nvidia-nvvm70": ("compute", "NVVM, second generation"),
    "nvidia-pkcs11": ("compute", "encryption for confidential computing (OpenSSL 1.1)"),
    "nvidia-pkcs11-openssl3": ("compute", "encryption for confidential computing (OpenSSL 3)"),
    "nvidia-sandboxutils": ("compute", "tells the toolkit what a container needs"),
    "nvidia-tileiras": ("compute", "assembler for CUDA tile programs"),
    "vdpau_nvidia": ("video", "video decoding through VDPAU"),
    "nvidia-encode": ("video", "hardware video encoding (NVENC)"),
    "nvidia-opticalflow": ("video", "optical flow between frames"),
    "nvcuvid": ("video", "hardware video decoding (NVDEC)"),
    "nvidia-eglcore": ("graphics", "core of OpenGL ES and EGL"),
    "nvidia-glcore": ("graphics", "core of OpenGL and Vulkan"),
    "nvidia-tls": ("graphics", "thread-local storage for the OpenGL libraries"),
    "nvidia-glsi": ("graphics", "interaction of OpenGL with the system"),
    "nvidia-fbc": ("graphics", "captures the frame buffer"),
    "nvidia-ifr": ("graphics", "reads back rendered frames (older drivers)"),
    "nvidia-rtcore": ("graphics", "ray tracing cores"),
    "nvoptix": ("graphics", "the OptiX ray tracing engine"),
    "nvidia-glvkspirv": ("graphics", "compiles SPIR-V shaders"),
    "nvidia-cbl": ("graphics", "Vulkan ray tracing support (older drivers)"),
    "GLX_nvidia": ("graphics", "OpenGL for X11 (GLX)"),
    "GLX_indirect": ("graphics", "OpenGL for X11, indirect rendering"),
    "EGL_nvidia": ("graphics", "EGL, which connects rendering to a window system"),
    "GLESv2_nvidia": ("graphics", "OpenGL ES 2 and 3"),
    "GLESv1_CM_nvidia": ("graphics", "OpenGL ES 1"),
    "nvidia-egl-gbm": ("graphics", "EGL on GBM buffers"),
    "nvidia-egl-wayland": ("graphics", "EGL on Wayland"),
    "nvidia-egl-xcb": ("graphics", "EGL on X11 (XCB)"),
    "nvidia-egl-xlib": ("graphics", "EGL on X11 (Xlib)"),
    "nvidia-wayland-client": ("graphics", "helper of EGL on Wayland"),
    "nvidia-vksc-core": ("graphics", "Vulkan for safety-critical systems"),
    "nvidia-present": ("graphics", "frame generation and presentation"),
    "nvidia-ngx": ("ngx", "NGX, neural graphics features"),
    "nvidia-api": ("graphics", "NVAPI for Windows programs under Proton"),
}

BINARIES: dict[str, tuple[str, str]] = {
    "nvidia-smi": ("utility", "shows and sets the state of GPUs"),
    "nvidia-debugdump": ("utility", "collects a dump for support"),
    "nvidia-persistenced": ("utility", "keeps the driver loaded with no program running"),
    "nv-fabricmanager": ("utility", "manages NVSwitch fabrics"),
    "nvidia-cuda-mps-control": ("compute", "controls the multi-process service (MPS)"),
    "nvidia-cuda-mps-server": ("compute", "the multi-process service itself"),
    "nvidia-imex": ("compute", "shares memory between nodes (IMEX)"),
    "nvidia-imex-ctl": ("compute", "controls the IMEX service"),
}

# (pattern of the path in the container, class, capability, purpose); the first match counts.
_PATHS: tuple[tuple[re.Pattern[str], Known], ...] = tuple(
    (re.compile(pattern), Known(class_id, capability, purpose))
    for pattern, class_id, capability, purpose in (
        (r"/dev/nvidia\d+", "gpu-node", "", "this GPU"),
        (r"/dev/nvidiactl", "control-node", "", "control of the driver; every program opens it"),
        (r"/dev/nvidia-uvm", "control-node", "compute", "unified memory; CUDA needs it"),
        (r"/dev/nvidia-uvm-tools", "control-node", "compute", "unified memory, for profilers"),
        (r"/dev/nvidia-modeset", "control-node", "display", "display modes"),
        (r"/dev/dri/(card|renderD)\d+", "drm-node", "graphics", "rendering through DRM"),
        (r"/dev/dri/by-path/\S+", "drm-node", "graphics", "DRM node by PCI address"),
        (r"/dev/nvidia-caps/\S+", "mig-imex-node", "", "right to a GPU slice (MIG)"),
        (r"/dev/nvidia-caps-imex-channels/\S+", "mig-imex-node", "", "an IMEX memory channel"),
        (r"/dev/dxg", "wsl", "", "the GPU of the Windows host"),
        (r"/usr/lib/wsl(/.*)?", "wsl", "", "driver files of the Windows host"),
        (
            r".*/firmware/nvidia/[\d.]+/gsp\w*\.bin",
            "firmware",
            "",
            "firmware of the GPU System Processor, one file per chip family",
        ),
        (
            r"(/var)?/run/nvidia-persistenced/socket",
            "ipc-socket",
            "utility",
            "to the persistence daemon",
        ),
        (
            r"(/var)?/run/nvidia-fabricmanager/socket",
            "ipc-socket",
            "compute",
            "to the fabric manager (NVSwitch)",
        ),
        (r"/tmp/nvidia-mps", "ipc-socket", "compute", "to the multi-process service"),
        (
            r".*/vulkan/icd\.d/nvidia\w*\.json",
            "graphics-config",
            "graphics",
            "names the Vulkan driver",
        ),
        (
            r".*/vulkan/implicit_layer\.d/nvidia\w*\.json",
            "graphics-config",
            "graphics",
            "names a Vulkan layer",
        ),
        (
            r".*/(glvnd/egl_vendor|egl/egl_external_platform)\.d/\d+_nvidia\w*\.json",
            "graphics-config",
            "graphics",
            "names the EGL driver",
        ),
        (r".*/OpenCL/vendors/nvidia\.icd", "graphics-config", "compute", "names the OpenCL driver"),
        (r".*/nvidia/nvoptix\.bin", "graphics-config", "graphics", "data of the OptiX denoiser"),
        (r".*/X11/xorg\.conf\.d/\S*nvidia\S*", "graphics-config", "display", "X11 configuration"),
        (
            r"/etc/nvidia/nvidia-application-profiles-rc\.d(/.*)?",
            "graphics-config",
            "graphics",
            "application profiles",
        ),
        (
            r"/proc/driver/nvidia",
            "procfs",
            "",
            "a small copy of the driver's folder, with only the GPUs asked for",
        ),
        (
            r"/proc/driver/nvidia/params",
            "procfs",
            "",
            "ModifyDeviceFiles set to 0, so that no program makes device nodes of its own",
        ),
        (
            r"/proc/driver/nvidia/gpus/[\da-fA-F:.]+",
            "procfs",
            "",
            "facts on one GPU, by PCI address",
        ),
        (r"/run/nvidia-ctk-hook[\w-]+", "hook-workspace", "", "holds the edited params file"),
    )
)

_LIBRARY = re.compile(r".*/lib(?P<stem>[\w+-]+?)\.so(?P<version>(\.\d+)*)")


def known_path(path: str) -> Known | None:
    """What the book knows of a file injected at ``path``, or None."""
    for pattern, known in _PATHS:
        if pattern.fullmatch(path):
            return known
    folder, _, name = path.rpartition("/")
    if folder.endswith("/gbm") and re.fullmatch(r"nvidia-drm_gbm\.so", name):
        return Known("driver-library", "graphics", "backend of GBM, buffers for DRM")
    if folder.endswith("/bin") and name in BINARIES:
        return Known("driver-binary", *BINARIES[name])
    stem = library_stem(path)
    if stem in LIBRARIES:
        return Known("driver-library", *LIBRARIES[stem])
    return None


def library_stem(path: str) -> str | None:
    """``cuda`` for ``/usr/lib/x86_64-linux-gnu/libcuda.so.1``; None if it names no library."""
    match = _LIBRARY.fullmatch(path)
    return match["stem"] if match else None


def library_version(path: str) -> str | None:
    """``580.159.04`` for ``.../libcuda.so.580.159.04``; None without a driver version."""
    match = re.search(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)$", path)
    return match[1] if match else None


ENVIRONMENT: dict[str, str] = {
    "NVIDIA_VISIBLE_DEVICES": "which GPUs; void tells the nvidia runtime that CDI has acted",
    "NVIDIA_DRIVER_CAPABILITIES": "which groups of driver files (legacy path only)",
    "NVIDIA_CTK_LIBCUDA_DIR": "folder of libcuda, so that hooks and programs find it",
    "NVIDIA_MIG_CONFIG_DEVICES": "GPUs whose slices may be configured",
    "NVIDIA_MIG_MONITOR_DEVICES": "GPUs whose slices may be watched",
    "NVIDIA_IMEX_CHANNELS": "which IMEX channels",
}

# What a hook does, by the argument that names it.
HOOKS: dict[str, str] = {
    "prestart": "runs nvidia-container-cli, which mounts files and nodes into the container",
    "create-symlinks": "makes SONAME links beside the mounted libraries",
    "update-ldcache": "runs ldconfig for the container, so that the loader finds the libraries",
    "enable-cuda-compat": "prefers the image's CUDA compatibility libraries when they are newer",
    "disable-device-node-modification": "hides the driver's permission to make device nodes",
    "update-application-profile": "writes a driver profile for the programs in the container",
    "update-nvidia-params": "edits the driver's parameters as the container sees them",
    "create-soname-symlinks": "makes SONAME links with ldconfig",
    "chmod": "sets the mode of a folder of device nodes",
}

NVIDIA_HOOK_PROGRAMS = ("nvidia-cdi-hook", "nvidia-container-runtime-hook", "nvidia-ctk")


def known_hook(path: str, args: tuple[str, ...]) -> str | None:
    """Purpose of one of NVIDIA's hooks, judged by program *and* argument; None if it is not one."""
    program = path.rsplit("/", 1)[-1]
    if program not in NVIDIA_HOOK_PROGRAMS or ".." in path.split("/"):
        return None
    words = list(args[1:])
    if program == "nvidia-ctk":
        if words[:1] != ["hook"]:
            return None
        words = words[1:]
    verb = words[0] if words else ""
    if (program == "nvidia-container-runtime-hook") != (verb == "prestart"):
        return None
    return HOOKS.get(verb)


# What Docker itself puts into every container: (target pattern, file system types).
DOCKER_MOUNTS: tuple[tuple[re.Pattern[str], tuple[str, ...], str], ...] = tuple(
    (re.compile(pattern), fstypes, purpose)
    for pattern, fstypes, purpose in (
        (r"/", (), "the image's layers and the container's own"),
        (r"/proc", ("proc",), "processes and kernel"),
        (r"/dev", ("tmpfs",), "a fresh /dev with a few nodes"),
        (r"/dev/pts", ("devpts",), "terminals"),
        (r"/dev/console", ("devpts",), "the container's terminal"),
        (r"/dev/mqueue", ("mqueue",), "POSIX message queues"),
        (r"/dev/shm", ("tmpfs",), "shared memory"),
        (r"/sys", ("sysfs",), "devices, read-only"),
        (r"/sys/fs/cgroup(/.*)?", ("cgroup2", "cgroup", "tmpfs"), "control groups"),
        (r"/etc/(resolv\.conf|hostname|hosts)", (), "name resolution, from the engine"),
        (r"/proc/(bus|fs|irq|sys|sysrq-trigger)", ("proc",), "made read-only"),
        (
            r"/proc/(asound|acpi|interrupts|kcore|keys|latency_stats|timer_list|timer_stats"
            r"|sched_debug|scsi)",
            ("tmpfs", "devtmpfs"),
            "hidden",
        ),
        (
            r"/sys/(firmware|devices/virtual/powercap|devices/system/cpu/\S+/thermal_throttle)",
            ("tmpfs",),
            "hidden",
        ),
        (r"/(usr/)?s?bin/docker-init", (), "the init of --init"),
        (r"/run/secrets(/.*)?", (), "secrets"),
    )
)

DOCKER_NODES = ("full", "null", "random", "tty", "urandom", "zero", "console", "ptmx", "pts/ptmx")
DOCKER_ENV = ("HOME", "HOSTNAME", "PATH", "TERM", "PWD", "SHLVL", "_", "OLDPWD", "container")

# (major, minor) of the rules that Docker writes for every container; -1 is any.
DOCKER_RULES: frozenset[tuple[int, int]] = frozenset(
    {(-1, -1), (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, -1)}
    | {(10, 200), (10, 229)}
)
