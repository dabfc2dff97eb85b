"""The Docker Engine: where it is, what it says of itself, and containers to measure in.

`endpoint` finds the engine and explains why it cannot be reached; `review` reads version, info and
daemon.json; `processes` finds dockerd and a container's shim in /proc; `container` starts one and
removes it; `captures` turns another machine's files into the same data. What a container is made
of stands on the pages themselves, in plain code.
"""

from gpubook.engine.container import (
    DEMO_IMAGES,
    PYTHON_IMAGES,
    choose_image,
    image_here,
    remove,
    running,
)
from gpubook.engine.endpoint import (
    ContextUnknown,
    Endpoint,
    EngineError,
    EngineRefused,
    EngineStopped,
    EngineUnreachable,
    ImageMissing,
    RootlessStopped,
    SocketDenied,
    UnexpectedAnswer,
    answering,
    connect,
    resolve,
)
from gpubook.engine.processes import (
    read_processes,
    shim_of,
)
from gpubook.engine.review import (
    config_path,
    daemon_config,
    info,
    parse_daemon_config,
    parse_info,
    parse_version,
    release,
    version,
)

__all__ = [
    "DEMO_IMAGES",
    "PYTHON_IMAGES",
    "ContextUnknown",
    "Endpoint",
    "EngineError",
    "EngineRefused",
    "EngineStopped",
    "EngineUnreachable",
    "ImageMissing",
    "RootlessStopped",
    "SocketDenied",
    "UnexpectedAnswer",
    "answering",
    "choose_image",
    "config_path",
    "connect",
    "daemon_config",
    "image_here",
    "info",
    "parse_daemon_config",
    "parse_info",
    "parse_version",
    "read_processes",
    "release",
    "remove",
    "resolve",
    "running",
    "shim_of",
    "version",
]
