"""A JupyterHub on the host that gives each learner a container of the book's image.

Started by `docker/jupyterhub/hub`, which says what the variables below mean. The Hub runs on
the host because it talks to the engine; the learners' containers never see the engine's socket.
"""

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import accounts
import books
import docker
from jupyterhub.auth import Authenticator
from tornado import web

c = get_config()  # noqa: F821 - JupyterHub gives it to its configuration file
HERE, FOLDER = Path(os.environ["HUB_CODE"]), Path(os.environ["HUB_FOLDER"])

# A shell has what it starts in the background ignore SIGINT, and that is inherited: the services
# below would not hear the Hub's, and it waits for each of them until it has killed it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


def bytes_of(name, default):
    """A size from the environment, in bytes."""
    text = os.environ.get(name) or default
    if not re.fullmatch(r"[1-9][0-9]*[KMGT]", text):
        wrong(f"{name} is a whole number and K, M, G or T (of 1024), such as 4G, not {text}")
    return int(text[:-1]) * 1024 ** ("KMGT".index(text[-1]) + 1)


learners, teachers = accounts.listed("HUB_LEARNERS"), accounts.listed("HUB_TEACHERS")
people = [*learners, *(name for name in teachers if name not in learners)]
port = int(number("HUB_PORT", "8000"))
cores = number("SEAT_CPUS", "2")
idle = number("SEAT_IDLE_MINUTES", "60") * 60
memory, disk = bytes_of("SEAT_MEMORY", "6G"), bytes_of("SEAT_DISK", "10G")
gpus = words("SEAT_GPUS")
if "all" in gpus and len(gpus) > 1:
    wrong("SEAT_GPUS is all, or names of CDI devices, not both")

# Browsers keep apart what is of different origins: without this, a page from one seat can act in
# the name of whoever opens it.
if os.environ.get("HUB_SUBDOMAINS"):
    if re.fullmatch(r"[0-9.]+|.*:.*", os.environ["HUB_NAME"]):
        wrong(f"HUB_SUBDOMAINS needs a name in HUB_NAME, not {os.environ['HUB_NAME']}")
    c.JupyterHub.subdomain_host = f"https://{os.environ['HUB_NAME']}:{port}"

# ---------------------------------------------------------------------------- who may come in


class ClassAuthenticator(Authenticator):
    """Passwords and one-time codes of accounts.py; a name is tried a few times a minute."""

    throttle = accounts.Throttle()

    async def authenticate(self, handler, data):
        """The name when the password is right. What is wrong with a new one is said on the form."""
        name = self.normalize_username(data.get("username", ""))
        name = name if name in self.allowed_users else ""
        one_try = self.throttle.take(name, handler.request.remote_ip, time.monotonic())
        if one_try is None:
            raise web.HTTPError(429, "Too many wrong passwords. Wait a minute and try again.")
        typed, new = data.get("password", ""), data.get("new_password", "")
        try:
            if not await asyncio.to_thread(accounts.log_in, FOLDER, name, typed, new):
                return None
        except accounts.AccountError as error:
            self.throttle.right(one_try)
            raise web.HTTPError(400, str(error)) from error
        self.throttle.right(one_try)
        return name


c.JupyterHub.authenticator_class = ClassAuthenticator
c.JupyterHub.template_paths = [str(HERE / "templates")]
c.Authenticator.allowed_users = set(people)
# The lists above decide, not what an earlier Hub's database knew: whoever is on none of them is
# deleted with all tokens, and the role below takes back what it does not give.
c.Authenticator.allow_existing_users = False
c.Authenticator.delete_invalid_users = True
c.Authenticator.username_pattern = rf"(?:{'|'.join(people)})\Z"

# ------------------------------------------------------------------------------- the network

# A network of the seats' own, on which they can't reach one another. The Hub listens on the
# host's end of it, so the seats and this machine reach it and nobody else does.
NETWORK = os.environ.get("HUB_NETWORK") or "gpubook-hub"
engine = docker.from_env()
APART = {"com.docker.network.bridge.enable_icc": "false"}
if not engine.networks.list(names=[f"^{NETWORK}$"]):
    engine.networks.create(NETWORK, options=APART)
network = engine.networks.get(NETWORK).attrs
if network["Options"] | APART != network["Options"]:
    wrong(f"seats could reach one another on the network {NETWORK}: docker network rm {NETWORK}")
gateway = network["IPAM"]["Config"][0]["Gateway"]
# Seats of a Hub that died are taken over; not those of somebody who is no longer listed.
for seat in engine.containers.list(all=True, filters={"network": NETWORK}, ignore_removed=True):
    if seat.name.removeprefix(f"{NETWORK}-") not in people:
        seat.remove(force=True)

c.JupyterHub.bind_url = f"https://{os.environ['HUB_ADDRESS']}:{port}"
c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = os.environ["TLS_CERT"], os.environ["TLS_KEY"]
c.JupyterHub.tornado_settings = {"cookie_options": {"secure": True}}
c.JupyterHub.hub_ip = gateway
c.JupyterHub.hub_port = port + 81
proxy = "proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
c.ConfigurableHTTPProxy.command = ["node", str(Path(sys.prefix) / proxy)]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 1}"

# --------------------------------------------------------------------------------- the seats

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ.get("HUB_IMAGE") or "gpu-plus-container:latest"
c.DockerSpawner.pull_policy = "never"  # it is built here, no registry has it
c.DockerSpawner.name_template = NETWORK + "-{raw_username}"  # names are checked: none needs escapes
c.DockerSpawner.network_name = NETWORK
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.default_url = "/lab/tree/notebooks"
c.Spawner.start_timeout = c.Spawner.http_timeout = 120

# A stopped seat's container is gone, what the learner did is not: it is in volumes. One has the
# learner's own files, the other the notebooks as the learner changes them, and results (books.py).
c.DockerSpawner.remove = True


def mount(spawner):
    """The volumes of a seat, chosen when it starts: the image may be another one by then."""
    seat = f"{NETWORK}-{spawner.user.name}"
    book, earlier = books.books(engine, seat, spawner.image)
    spawner.volumes = {book: "/book", f"{seat}-work": "/mnt"}
    spawner.read_only_volumes = {earlier: "/book/earlier"} if earlier else {}


c.Spawner.pre_spawn_hook = mount

c.DockerSpawner.mem_limit = memory
c.DockerSpawner.cpu_limit = cores


def gpus_of(name):
    """The device requests of a learner's container, as `docker run --gpus` or `--device` makes."""
    if not gpus:
        return []
    if gpus == ["all"]:
        return [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])]
    # In turn: with as many devices (GPUs, MIG slices) as learners, each has one alone.
    device = gpus[people.index(name) % len(gpus)]
    return [docker.types.DeviceRequest(driver="cdi", device_ids=[device])]


def limits(spawner):
    """What a seat gets beside memory and cores: the rules of docker/compose.yaml, and its GPU.

    Nothing outside of its volumes can be written but /tmp, which counts as memory; what it prints
    is kept in 30 MB at most.
    """
    log = docker.types.LogConfig(type="local", config={"max-size": "10m", "max-file": "3"})
    return {
        "read_only": True,
        "tmpfs": {"/tmp": "mode=1777,exec,size=1g"},
        "log_config": log,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "shm_size": "2g",
        "pids_limit": 2048,
        "device_requests": gpus_of(spawner.user.name),
    }


c.DockerSpawner.extra_host_config = limits

# The seats report to the teachers' board directly: the room's address may be one they can't reach.
BOARD = f"http://{gateway}:{port + 82}"
c.Spawner.environment = {"GPUBOOK_BOARD": f"{BOARD}/services/board/report"}

# ---------------------------------- the board, full disks, and seats that nobody sits at

c.JupyterHub.load_roles = [
    {"name": "admin", "users": teachers},
    {"name": "board", "scopes": ["access:services!service=board"], "users": teachers},
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    },
]
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={idle:.0f}"],
    },
    {
        "name": "board",
        "url": BOARD,
        "command": [sys.executable, str(HERE / "board.py")],
        "environment": {"HUB_FOLDER": str(FOLDER), "PEOPLE": " ".join(people)},
        "oauth_no_confirm": True,
    },
    {
        "name": "disk",
        "command": [sys.executable, str(HERE / "disk.py")],
        "environment": {
            "NETWORK": NETWORK,
            "PEOPLE": " ".join(people),
            "LIMIT": str(disk),
            **{name: text for name, text in os.environ.items() if name.startswith("DOCKER_")},
        },
    },
]
