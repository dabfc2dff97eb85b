"""A JupyterHub on the host that gives each learner a container of the book's image.

Started by `docker/jupyterhub/start`, which says what the variables below mean. The Hub runs on
the host because it talks to the engine; the learners' containers never see the engine's socket.
"""

import os
import re
import sys

import docker
from firstuseauthenticator import FirstUseAuthenticator
from firstuseauthenticator.firstuseauthenticator import CustomLoginHandler
from jupyterhub.handlers import LoginHandler

c = get_config()  # noqa: F821 - JupyterHub gives it to its configuration file


def words(name):
    """The blank-separated words of an environment variable."""
    return os.environ.get(name, "").split()


def wrong(message):
    """End with one line; a traceback would hide it."""
    sys.stderr.write(f"hub: {message}\n")
    sys.exit(2)


def number(name, default):
    """A positive number from the environment."""
    text = os.environ.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not value > 0:
        wrong(f"{name} is a number above 0, not {text}")
    return value


learners, teachers = words("HUB_LEARNERS"), words("HUB_TEACHERS")
for who in learners + teachers:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", who):
        wrong(f"a name has small letters, digits and -, and begins with a letter: not {who!r}")
if not learners:
    wrong("name the learners: HUB_LEARNERS='ada grace' docker/jupyterhub/start")
port = int(number("HUB_PORT", "8000"))
cores = number("SEAT_CPUS", "2")
idle = number("SEAT_IDLE_MINUTES", "60") * 60
memory = os.environ.get("SEAT_MEMORY") or "4G"
if not re.fullmatch(r"[1-9][0-9]*[KMGT]", memory):
    wrong(f"SEAT_MEMORY is a whole number and K, M, G or T (of 1024), such as 4G, not {memory}")
gpus = words("SEAT_GPUS")
if "all" in gpus and len(gpus) > 1:
    wrong("SEAT_GPUS is all, or names of CDI devices, not both")

# ---------------------------------------------------------------------------- who may come in


# The first login of a listed name sets its password; nobody else gets in. To reset a password,
# a teacher deletes the user in the Hub's admin page and adds the same name again.
class Login(CustomLoginHandler):
    """The authenticator's login page, which knows fewer arguments than this Hub gives it."""

    def _render(self, login_error=None, username=None, **more):
        error = self.custom_login_error or login_error
        return LoginHandler._render(self, login_error=error, username=username, **more)


class FirstUse(FirstUseAuthenticator):
    """The same, with that login page."""

    def get_handlers(self, app):
        return [("/login", Login), *super().get_handlers(app)[1:]]


c.JupyterHub.authenticator_class = FirstUse
c.FirstUseAuthenticator.create_users = False
c.Authenticator.allowed_users = set(learners)
c.Authenticator.admin_users = set(teachers)

# ------------------------------------------------------------------------------- the network

# A network of the seats' own, on which they can't reach one another. The Hub listens on the
# host's end of it, so the seats and this machine reach it and nobody else does.
NETWORK = os.environ.get("HUB_NETWORK") or "gpubook-hub"
engine = docker.from_env()
if not engine.networks.list(names=[f"^{NETWORK}$"]):
    engine.networks.create(NETWORK, options={"com.docker.network.bridge.enable_icc": "false"})
gateway = engine.networks.get(NETWORK).attrs["IPAM"]["Config"][0]["Gateway"]
engine.close()

c.JupyterHub.bind_url = f"http://{os.environ.get('HUB_ADDRESS') or '127.0.0.1'}:{port}"
c.JupyterHub.hub_ip = gateway
c.JupyterHub.hub_port = port + 81
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 1}"

# --------------------------------------------------------------------------------- the seats

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ.get("HUB_IMAGE") or "gpu-plus-container:latest"
c.DockerSpawner.pull_policy = "never"  # it is built here, no registry has it
c.DockerSpawner.name_template = NETWORK + "-{username}"
c.DockerSpawner.network_name = NETWORK
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.default_url = "/lab/tree/notebooks"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120

# A stopped seat's container is gone, what the learner did is not: it is in two volumes. The first
# is filled from the image when it is new: the notebooks, as the learner changes them, and results.
c.DockerSpawner.remove = True
c.DockerSpawner.volumes = {
    NETWORK + "-{username}-book": "/book",
    NETWORK + "-{username}-work": "/mnt",
}

c.DockerSpawner.mem_limit = memory
c.DockerSpawner.cpu_limit = cores


def gpus_of(name):
    """The device requests of a learner's container, as `docker run --gpus` or `--device` makes."""
    if not gpus:
        return []
    if gpus == ["all"]:
        return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]
    # In turn: with as many devices (GPUs, MIG slices) as learners, each has one alone.
    names = learners + [who for who in teachers if who not in learners]
    device = gpus[names.index(name) % len(gpus)]
    return [docker.types.DeviceRequest(driver="cdi", device_ids=[device])]


def limits(spawner):
    """What a seat gets beside memory and cores: the rules of docker/compose.yaml, and its GPU."""
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "shm_size": "2g",
        "pids_limit": 2048,
        "device_requests": gpus_of(spawner.user.name),
    }


c.DockerSpawner.extra_host_config = limits

# ------------------------------------------------------------------------- seats nobody sits at

c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={idle:.0f}"],
    }
]
