"""Which path a request for a GPU takes, by the versions of engine and toolkit.

Sources: release notes of Docker Engine 25.0, 28.2 and 29.2 and moby/moby#50228; release notes of
the NVIDIA Container Toolkit 1.14 and 1.18.
"""

from __future__ import annotations

from gpubook.errors import BookError
from gpubook.machine.host import numbers


def _version(text: str) -> tuple[int, ...]:
    version = numbers(text)
    if not version:
        raise BookError(f"{text!r} does not start with a version number such as 28.5.2")
    return version


def expected_path(
    way: str, *, docker: str, toolkit: str, cdi_enabled: bool = False, spec: bool = True
) -> str | None:
    """The injection path that these versions give a request, or None where it is refused.

    ``way``: plain, device, runtime or gpus; ``cdi_enabled``: daemon.json sets ``features.cdi``;
    ``spec``: there is a CDI specification on the host. A rule of versions: what a container shows
    (:func:`gpubook.injection.decide`) outranks it.
    """
    engine_version, toolkit_version = _version(docker), _version(toolkit)
    reads_cdi = engine_version >= (28, 2) or (engine_version >= (25,) and cdi_enabled)
    if way == "plain":
        return "none"
    if way == "device":
        return "engine-cdi" if reads_cdi and spec else None
    if way == "runtime":
        return "jit-cdi" if toolkit_version >= (1, 18) else "legacy"
    if way == "gpus":
        return "engine-cdi" if engine_version >= (29, 2) and spec else "legacy"
    raise ValueError(f"no way {way!r} of asking")
