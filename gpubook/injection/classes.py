"""What the NVIDIA Container Toolkit injects, and what Docker brings by itself, as tables.

Sources: the names and their grouping by driver capability follow ``src/nvc_info.c`` of
libnvidia-container and the discoverers in ``nvidia-container-toolkit`` (``internal/discover``,
``pkg/nvcdi``).

A *capability* is a word of ``NVIDIA_DRIVER_CAPABILITIES``. On the legacy path it selects files;
on the CDI paths every file of the specification arrives whatever the variable says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Known:
    """A file known by name: its class and its driver capability, empty for none."""

    class_id: str
    capability: str


def _by_name(**groups: str) -> dict[str, str]:
    return {name: capability for capability, names in groups.items() for name in names.split()}


# Library stems, without "lib" and ".so...".
LIBRARIES = _by_name(
    utility="nvidia-ml nvidia-cfg nvidia-nscq",
    compute="cuda cudadebugger nvidia-opencl nvidia-gpucomp nvidia-ptxjitcompiler "
    "nvidia-fatbinaryloader nvidia-allocator nvidia-compiler nvidia-nvvm nvidia-nvvm70 "
    "nvidia-pkcs11 nvidia-pkcs11-openssl3 nvidia-sandboxutils nvidia-tileiras",
    video="vdpau_nvidia nvidia-encode nvidia-opticalflow nvcuvid",
    graphics="nvidia-eglcore nvidia-glcore nvidia-tls nvidia-glsi nvidia-fbc nvidia-ifr "
    "nvidia-rtcore nvoptix nvidia-glvkspirv nvidia-cbl GLX_nvidia GLX_indirect EGL_nvidia "
    "GLESv2_nvidia GLESv1_CM_nvidia nvidia-egl-gbm nvidia-egl-wayland nvidia-egl-xcb "
    "nvidia-egl-xlib nvidia-wayland-client nvidia-vksc-core nvidia-present nvidia-api",
    ngx="nvidia-ngx",
)
BINARIES = _by_name(
    utility="nvidia-smi nvidia-debugdump nvidia-persistenced nv-fabricmanager",
    compute="nvidia-cuda-mps-control nvidia-cuda-mps-server nvidia-imex nvidia-imex-ctl",
)

# (pattern of the path in the container, class, capability); the first match counts.
_PATHS = tuple(
    (re.compile(pattern), Known(class_id, capability))
    for pattern, class_id, capability in (
        (r"/dev/nvidia\d+", "gpu-node", ""),
        (r"/dev/nvidiactl", "control-node", ""),
        (r"/dev/nvidia-uvm(-tools)?", "control-node", "compute"),
        (r"/dev/nvidia-modeset", "control-node", "display"),
        (r"/dev/dri/((card|renderD)\d+|by-path/\S+)", "drm-node", "graphics"),
        (r"/dev/nvidia-caps(-imex-channels)?/\S+", "mig-imex-node", ""),
        (r"/dev/dxg|/usr/lib/wsl(/.*)?", "wsl", ""),
        (r".*/firmware/nvidia/[\d.]+/gsp\w*\.bin", "firmware", ""),
        (r"(/var)?/run/nvidia-persistenced/socket", "ipc-socket", "utility"),
        (r"(/var)?/run/nvidia-fabricmanager/socket|/tmp/nvidia-mps", "ipc-socket", "compute"),
        (r".*/vulkan/(icd|implicit_layer)\.d/nvidia\w*\.json", "graphics-config", "graphics"),
        (
            r".*/(glvnd/egl_vendor|egl/egl_external_platform)\.d/\d+_nvidia\w*\.json",
            "graphics-config",
            "graphics",
        ),
        (r".*/OpenCL/vendors/nvidia\.icd", "graphics-config", "compute"),
        (r".*/nvidia/nvoptix\.bin", "graphics-config", "graphics"),
        (r".*/X11/xorg\.conf\.d/\S*nvidia\S*", "graphics-config", "display"),
        (
            r"/etc/nvidia/nvidia-application-profiles-rc\.d(/.*)?",
            "graphics-config",
            "graphics",
        ),
        (r"/proc/driver/nvidia(/params|/gpus/[\da-fA-F:.]+)?", "procfs", ""),
        (r"/run/nvidia-ctk-hook[\w-]+", "hook-workspace", ""),
        (r".*/gbm/nvidia-drm_gbm\.so", "driver-library", "graphics"),
    )
)
_LIBRARY = re.compile(r".*/lib(?P<stem>[\w+-]+?)\.so(?:\.\d+)*")


def known_path(path: str) -> Known | None:
    """What the book knows of a file injected at ``path``, or None."""
    for pattern, known in _PATHS:
        if pattern.fullmatch(path):
            return known
    folder, _, name = path.rpartition("/")
    if folder.endswith("/bin") and name in BINARIES:
        return Known("driver-binary", BINARIES[name])
    library = _LIBRARY.fullmatch(path)
    if library and library["stem"] in LIBRARIES:
        return Known("driver-library", LIBRARIES[library["stem"]])
    return None


def library_version(path: str) -> str | None:
    """``580.159.04`` for ``.../libcuda.so.580.159.04``; None without a driver version."""
    match = re.search(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)$", path)
    return match[1] if match else None


ENVIRONMENT = (
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_CTK_LIBCUDA_DIR",
    "NVIDIA_MIG_CONFIG_DEVICES",
    "NVIDIA_MIG_MONITOR_DEVICES",
    "NVIDIA_IMEX_CHANNELS",
)

# What a hook does stands in the argument after the program's own name.
_CDI_HOOKS = (
    "create-symlinks",
    "update-ldcache",
    "enable-cuda-compat",
    "disable-device-node-modification",
    "update-application-profile",
    "update-nvidia-params",
    "create-soname-symlinks",
    "chmod",
)


def known_hook(path: str, args: tuple[str, ...]) -> bool:
    """Whether it is one of NVIDIA's hooks, judged by program *and* argument."""
    folder, _, program = path.rpartition("/")
    first, second = (*args[1:3], "", "")[:2]
    if ".." in folder.split("/"):
        return False
    match program:
        case "nvidia-container-runtime-hook":
            return first == "prestart"
        case "nvidia-cdi-hook":
            return first in _CDI_HOOKS
        case "nvidia-ctk":
            return first == "hook" and second in _CDI_HOOKS
    return False


# What Docker itself puts into every container: (target pattern, file system types).
DOCKER_MOUNTS = tuple(
    (re.compile(pattern), types.split())
    for pattern, types in (
        (r"/", ""),
        (r"/proc(/(bus|fs|irq|sys|sysrq-trigger))?", "proc"),
        (
            r"/proc/(asound|acpi|interrupts|kcore|keys|latency_stats|timer_list|timer_stats"
            r"|sched_debug|scsi)",
            "tmpfs devtmpfs",
        ),
        (r"/dev(/shm)?", "tmpfs"),
        (r"/dev/(pts|console)", "devpts"),
        (r"/dev/mqueue", "mqueue"),
        (r"/sys", "sysfs"),
        (r"/sys/fs/cgroup(/.*)?", "cgroup2 cgroup tmpfs"),
        (
            r"/sys/(firmware|devices/virtual/powercap|devices/system/cpu/\S+/thermal_throttle)",
            "tmpfs",
        ),
        (r"/etc/(resolv\.conf|hostname|hosts)", ""),
        (r"/(usr/)?s?bin/docker-init", ""),
        (r"/run/secrets(/.*)?", ""),
    )
)
DOCKER_NODES = ("full", "null", "random", "tty", "urandom", "zero", "console", "ptmx", "pts/ptmx")
DOCKER_ENV = ("HOME", "HOSTNAME", "PATH", "TERM", "PWD", "SHLVL", "_", "OLDPWD", "container")
