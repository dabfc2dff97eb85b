"""What the pages need of the Docker Engine: an image to run, a name to free, dockerd's settings.

`container` chooses images and removes leftovers; `daemon` reads daemon.json. What a container is
made of stands on the pages themselves, in plain code; where the engine is, `machine` says. The
doctor and the pages may import this room.
"""

from gpubook.engine.container import (
    DEMO_IMAGES,
    PYTHON_IMAGES,
    choose_image,
    image_here,
    remove,
)
from gpubook.engine.daemon import config_path, daemon_config, parse_daemon_config

__all__ = [
    "DEMO_IMAGES",
    "PYTHON_IMAGES",
    "choose_image",
    "config_path",
    "daemon_config",
    "image_here",
    "parse_daemon_config",
    "remove",
]
