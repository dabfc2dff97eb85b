"""Jupyter's settings in the image, for `start`, `jupyter lab` and `jupyter server` alike."""

import os

c = get_config()  # noqa: F821 - Jupyter gives it to its configuration files

# Every address of the container: what the host can reach is decided by `docker run -p`.
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = int(os.environ.get("JUPYTER_PORT") or 8888)
c.ServerApp.port_retries = 0  # another port than the published one helps nobody
c.ServerApp.open_browser = False
c.ServerApp.root_dir = "/book"
c.ServerApp.default_url = "/lab/tree/notebooks"
c.ServerApp.allow_root = os.getuid() == 0  # chosen by `docker run -u 0`, so meant
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash"]}
c.LabApp.news_url = None
