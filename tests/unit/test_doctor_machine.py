"""The doctor looks at machines: trees of files stand for them, and facts for what answers."""

import json
import re
import time

import pytest

from gpubook.doctor import load, probe
from gpubook.doctor import report as said
from gpubook.doctor.facts import READERS, Unread, collect
from gpubook.doctor.finding import by_rule, commands, texts
from gpubook.machine.gpus import Driver, Gpu
from gpubook.machine.host import TOOLKIT, Host
from tests.captured import CAPTURES
from tests.conftest import ROOT, gpubook
from tests.unit.test_doctor_rules import DELETES

INFO = {
    "server": "29.2.1",
    "operating_system": "Ubuntu 24.04.3 LTS",
    "root_dir": "/var/lib/docker",
    "cgroup_driver": "systemd",
    "cgroup_version": "2",
    "runtimes": ["runc"],
    "cdi": {"directories": ["/etc/cdi", "/var/run/cdi"], "devices": []},
    "rootless": False,
}
ENGINE = {
    "command": "/usr/bin/docker", "error": "", "kind": "", "info": INFO, "elsewhere": False,
    "host": "unix:///var/run/docker.sock", "source": "the default",
}  # fmt: skip
CTK = dict.fromkeys(TOOLKIT, "/usr/bin/x")
INSTALL_TOOLKIT, RESTART = commands(["@install-toolkit", "@restart"])
GENERATE, RENEW = (next(commands([name])) for name in ("@generate", "@renew"))
GPU_FILES = {
    "/sys/bus/pci/devices/0000:65:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/0000:65:00.0/class": "0x030200\n",
}
NVRM = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
LIB = "/usr/lib/x86_64-linux-gnu"
LIBRARIES = {
    f"{LIB}/{name}.so.{version}": ""
    for name in ("libnvidia-ml", "libcuda")
    for version in ("580.95.05", "1")
}
MODULE = {"/proc/driver/nvidia/version": NVRM} | LIBRARIES


def node(major, minor=0, opens=True):
    return {"device": True, "major": major, "minor": minor, "open": opens}


NODES = {
    "/dev/nvidia0": node(195),
    "/dev/nvidiactl": node(195, 255),
    "/dev/nvidia-uvm": node(511),
}
OF_NODES = {"nodes": NODES, "majors": {"nvidia-uvm": 511}, "links": ["195:0", "195:255"]}


def gpus(capability="7.5", name="Tesla T4", mig=False):
    return Driver("580.95.05", "13.0", (Gpu(name, 0, "580.95.05", capability, mig=mig),))


SPEC = f"""
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    deviceNodes: [{{path: /dev/null}}]
containerEdits:
  mounts:
  - hostPath: {LIB}/libcuda.so.580.95.05
    containerPath: {LIB}/libcuda.so.580.95.05
"""
UVM = "{path: /dev/null}, {path: /dev/nvidia-uvm, major: 510, minor: 0}"
OLD_UVM = SPEC.replace("{path: /dev/null}", UVM)
STUB = json.dumps(
    {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "all", "containerEdits": {"env": ["A=1"]}}],
    }
)
CDI = "/etc/cdi/nvidia.yaml"
DAEMON = "/etc/docker/daemon.json"
ROOM = {"/": {"free": 200e9, "total": 500e9, "inodes": 0.9}}
USER = {"uid": 1000, "home": "/root", "home_writable": True, "nofile": [65536, 65536]}

# What a machine is like before a case changes it: files, and what answers.
BASES = {
    "bare": ({}, {}),
    "engine": ({}, {"engine": ENGINE}),
    "gpu": (
        GPU_FILES | MODULE | {"/dev/null": ""},
        {"engine": ENGINE, "nodes": OF_NODES, "nvml": gpus(), "refresh": {}}
        | {"toolkit": {"programs": CTK, "version": "1.18.1"}},
    ),
    "container": ({"/.dockerenv": ""}, {}),
}


def machine(root, base, files=()):
    """A host with the files of a base and these; None takes one away."""
    files = {"/etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n'} | BASES[base][0] | dict(files)
    for name, text in files.items():
        if text is not None:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            path.chmod(0o755)
    return Host(root, {"PATH": "/usr/bin", "HOME": "/root"})


def look(root, base, files=(), **known):
    """Findings by id; ``known`` facts take the place of those that were read."""
    host = machine(root, base, files)
    facts = collect(host) | {"space": ROOM, "torch": {}} | BASES[base][1]
    for name, value in known.items():
        facts[name] = _changed(facts[name], value)
    findings = probe(host, facts)
    for finding in findings:
        if any(DELETES.search(line) for line in finding.run):
            assert re.search("delete|remove", finding.why), finding
    return {finding.id: finding for finding in findings}


def _changed(fact, value):
    """A dictionary is changed in the keys that are given; all else is replaced."""
    return fact | value if isinstance(fact, dict) and isinstance(value, dict) else value


def info(**more):
    return {"info": INFO | more}


def some(statuses, findings):
    return {f.id for f in findings.values() if f.status in statuses}


# ------------------------------------------------------------------ whole machines


@pytest.mark.parametrize(
    ("base", "files", "problems", "warnings"),
    [
        ("bare", {}, {"engine"}, {"gpu"}),
        ("engine", {}, set(), {"gpu"}),
        ("engine", {"/etc/cdi/gpubook-stub-driver.json": STUB}, set(), {"gpu", "cdi-spec"}),
        ("gpu", {CDI: SPEC}, set(), set()),
        ("container", {}, set(), {"injected", "gpu"}),
    ],
)
def test_a_whole_machine_has_these_problems_and_warnings_only(
    tmp_path, base, files, problems, warnings
):
    findings = look(tmp_path, base, files, user=USER)
    assert some(["problem"], findings) == problems
    assert some(["warning"], findings) == warnings


SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
NOT_LOADED = GPU_FILES | {name: text for name, text in LIBRARIES.items() if "libnvidia-ml" in name}
OLD_CDI = {"server": "26.1.5+dfsg1", "cdi": {"directories": [], "devices": []}}
NVIDIA_RUNTIME = {DAEMON: '{"runtimes": {"nvidia": {"path": "x"}}}'}
AMD = {
    "/sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002\n",
    "/sys/bus/pci/devices/0000:03:00.0/class": "0x030000\n",
}
AMD_SHUT = {"nodes": {"/dev/kfd": False, "/dev/dri/renderD128": True}}
WSL = {"/proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n"}
WINDOWS = WSL | {"/dev/dxg": "", "/usr/lib/wsl/lib/libcuda.so.1": ""}
LINUX_IN_WSL = WINDOWS | {f"{LIB}/libcuda.so.580.95.05": ""}
TWO_ENGINES = {"/run/docker.sock": "", "/run/snap.docker/docker.sock": ""}
OFF = {"nvidia-cdi-refresh.path": "disabled", "nvidia-cdi-refresh.service": "enabled"}
SHUT = {"nodes": NODES | {"/dev/nvidiactl": node(195, 255, opens=False)}}
NO_UVM = {"nodes": {k: v for k, v in NODES.items() if k != "/dev/nvidia-uvm"}}
UVM_237 = {"nodes": NODES | {"/dev/nvidia-uvm": node(237)}}
AWAY = {"host": "ssh://lab", "elsewhere": True}
SMALL = {"/dev/shm": {"free": 6e7, "total": 64 * 2**20, "inodes": 0.9}}
MOUNTED = "812 700 8:1 /home/ada/out /data/out rw,relatime - ext4 /dev/sda1 rw\n"
ENGINE_ERROR = {"info": {}, "error": "it says no", "source": "x"}

# base, files, facts: the finding, its status (empty: there is none), words of it in order
CASES = {
    # engine
    "nothing": ("bare", {}, {}, "engine", "problem", "no Docker Engine docker-ce"),
    "denied": (
        "engine", {}, {"engine": ENGINE_ERROR | {"kind": "SocketDenied"}},
        "engine", "problem", "usermod -aG docker",
    ),
    "stopped": (
        "engine", {}, {"engine": ENGINE_ERROR | {"kind": "EngineUnreachable"}},
        "engine", "problem", "it says no systemctl enable --now docker",
    ),
    "answers": ("engine", {}, {}, "engine", "ok", "29.2.1"),
    "no command": (
        "engine", {}, {"engine": {"command": None}}, "docker-command", "problem", "docker-ce-cli",
    ),
    "no CDI": (
        "engine", {}, {"engine": info(server="24.0.7")}, "engine-version", "warning", "no CDI",
    ),
    "CDI off": ("gpu", {}, {"engine": info(**OLD_CDI)}, "engine-cdi", "warning", "--cdi.enabled"),
    "CDI off, no GPU": ("engine", {}, {"engine": info(**OLD_CDI)}, "engine-cdi", "ok", ""),
    "CDI set on": (
        "gpu", {DAEMON: '{"features": {"cdi": true}}'}, {"engine": info(**OLD_CDI)},
        "engine-cdi", "", "",
    ),
    "CDI set off": (
        "gpu", {DAEMON: '{"features": {"cdi": false}}'}, {}, "cdi-off", "warning", "cdi.enabled",
    ),
    "desktop": (
        "gpu", {}, {"engine": info(operating_system="Docker Desktop")},
        "engine-kind", "problem", "context use default",
    ),
    "snap": (
        "gpu", {}, {"engine": info(root_dir="/var/snap/docker/common")},
        "engine-kind", "warning", "snap version",
    ),
    "rootless": ("engine", {}, {"engine": info(rootless=True)}, "rootless", "warning", "cdi"),
    "broken daemon.json": (
        "engine", {DAEMON: '{"a": 1,}'}, {}, "daemon-json", "problem", "line 1 --validate",
    ),
    "unreadable daemon.json": (
        "engine", {f"{DAEMON}/a-folder": ""}, {}, "daemon-json", "warning", "cannot be read cat",
    ),
    "not restarted": ("engine", NVIDIA_RUNTIME, {}, "runtimes", "problem", f"nvidia {RESTART}"),
    "runtime known": (
        "engine", NVIDIA_RUNTIME, {"engine": info(runtimes=["nvidia", "runc"])},
        "runtimes", "ok", "nvidia",
    ),
    "default runtime missing": (
        "engine", {DAEMON: '{"default-runtime": "nvidia"}'}, {},
        "default-runtime", "problem", INSTALL_TOOLKIT,
    ),
    "two engines": ("engine", TWO_ENGINES, {}, "engines", "warning", "the snap"),
    "podman is no second Docker": (
        "engine", {"/run/docker.sock": "", "/run/podman/podman.sock": ""}, {}, "engines", "", "",
    ),
    # driver
    "a file named as a node": ("engine", {"/dev/nvidia0": ""}, {}, "gpu", "warning", "no NVIDIA"),
    "a sound card": (
        "engine", {name: text.replace("0302", "0403") for name, text in GPU_FILES.items()}, {},
        "gpu", "warning", "no NVIDIA GPU",
    ),
    "no driver": ("engine", GPU_FILES, {}, "driver", "problem", "no NVIDIA driver is installed"),
    "nouveau": (
        "engine", GPU_FILES | {"/sys/module/nouveau/version": ""}, {},
        "driver", "problem", "nouveau has it blacklist nouveau",
    ),
    "nova": (
        "engine", GPU_FILES | {"/sys/module/nova_core/version": ""}, {},
        "driver", "problem", "nova_core has it blacklist nova_core",
    ),
    "not loaded": ("engine", NOT_LOADED, {}, "driver", "problem", "not loaded modprobe nvidia"),
    "secure boot": (
        "engine", NOT_LOADED | {SECURE_BOOT: b"\x06\0\0\0\x01"}, {},
        "driver", "problem", "Secure Boot is on mokutil",
    ),
    "secure boot off": (
        "gpu", {SECURE_BOOT: b"\x06\0\0\0\0"}, {}, "secure-boot", "ok", "Secure Boot is off",
    ),
    "another library": (
        "gpu", {f"{LIB}/libnvidia-ml.so.580.95.05": None, f"{LIB}/libnvidia-ml.so.580.126.09": ""},
        {}, "driver-library", "problem", "580.95.05 580.126.09 sudo reboot",
    ),
    "NVML fails": (
        "gpu", {}, {"nvml": Driver(error="Driver/library version mismatch")},
        "driver", "problem", "sudo reboot",
    ),
    "no GPU shown": ("gpu", {}, {"nvml": Driver("580.95.05")}, "gpu", "problem", "nvidia-smi -L"),
    "another flavour": (
        "gpu", {}, {"nvml": Driver("580.95.05"), "driver": {"open_module": False}},
        "open-module", "warning", "proprietary",
    ),
    "the open flavour": ("gpu", {}, {"nvml": Driver("580.95.05")}, "open-module", "", ""),
    "flavour with a GPU": ("gpu", {}, {"driver": {"open_module": False}}, "open-module", "", ""),
    "MIG": ("gpu", {}, {"nvml": gpus(name="H100", mig=True)}, "mig", "warning", "H100"),
    "no node": ("gpu", {}, {"nodes": NO_UVM}, "nodes", "problem", "nvidia-uvm nvidia-modprobe"),
    "shut node": ("gpu", {}, {"nodes": SHUT}, "node-modes", "problem", "nvidiactl usermod"),
    "node's number": ("gpu", {}, {"nodes": UVM_237}, "uvm-number", "problem", "237 511"),
    "old generation": (
        "gpu", {}, {"nvml": gpus("7.0", "V100")}, "generation", "warning", "V100 580 apt-mark hold",
    ),
    "generation": ("gpu", {}, {}, "generation", "", ""),
    # toolkit
    "no toolkit": (
        "gpu", {}, {"toolkit": {"programs": dict.fromkeys(CTK), "version": ""}},
        "toolkit", "problem", INSTALL_TOOLKIT,
    ),
    "no toolkit, no GPU": ("engine", {}, {}, "toolkit", "ok", "no GPU"),
    "half a toolkit": (
        "gpu", {}, {"toolkit": {"programs": CTK | {"nvidia-ctk": None}}},
        "toolkit-programs", "warning", "nvidia-ctk --reinstall",
    ),
    "a hole": (
        "gpu", {}, {"toolkit": {"version": "1.17.7"}}, "toolkit-version", "warning", "1.17.7 CVE",
    ),
    "mended": ("gpu", {}, {"toolkit": {"version": "1.17.8"}}, "toolkit-version", "", ""),
    "unknown version": ("gpu", {}, {"toolkit": {"version": ""}}, "toolkit-version", "", ""),
    "toolkit of another host": ("gpu", {}, {"engine": AWAY}, "toolkit", "warning", "ssh://lab"),
    "another host has it": (
        "gpu", {}, {"engine": AWAY | info(runtimes=["nvidia"])}, "toolkit", "ok", "ssh://lab has",
    ),
    # CDI
    "good": ("gpu", {CDI: SPEC}, {}, "cdi-spec", "ok", "580.95.05"),
    "none": ("gpu", {}, {}, "cdi-spec", "warning", "/etc/cdi, /var/run/cdi"),
    "stub": (
        "engine", {"/etc/cdi/gpubook-stub-driver.json": STUB}, {},
        "cdi-spec", "warning", "stub driver rm /etc/cdi/gpubook",
    ),
    "of another driver": (
        "gpu", {CDI: SPEC.replace("580.95.05", "550.54.14")}, {},
        "cdi-spec", "problem", f"550.54.14 580.95.05 {RENEW}",
    ),
    "of another driver, by hand": (
        "gpu", {CDI: SPEC.replace("580.95.05", "550.54.14")}, {"toolkit": {"version": "1.17.8"}},
        "cdi-spec", "problem", GENERATE,
    ),
    "names what is not there": (
        "gpu", {CDI: SPEC.replace("/dev/null", "/dev/nvidia7")}, {},
        "cdi-spec", "problem", "/dev/nvidia7",
    ),
    "no specification": (
        "engine", {"/etc/cdi/bad.yaml": "kind: [\n"}, {},
        "cdi-spec", "warning", "/etc/cdi/bad.yaml",
    ),
    "recorded on a GPU host": (
        "engine", {CDI: (CAPTURES / "cdi-nvidia.yaml").read_text(encoding="utf-8")}, {},
        "cdi-spec", "problem", "not there",
    ),
    "left over": ("engine", {CDI: STUB}, {}, "cdi-spec", "warning", "no driver is loaded sudo rm"),
    "an old number": (
        "gpu", {CDI: OLD_UVM, "/dev/nvidia-uvm": ""}, {},
        "uvm-in-cdi", "problem", f"510 511 {RENEW}",
    ),
    "the number": (
        "gpu", {CDI: OLD_UVM.replace("510", "511"), "/dev/nvidia-uvm": ""}, {},
        "uvm-in-cdi", "", "",
    ),
    "outranked": (
        "gpu", {CDI: SPEC, "/var/run/cdi/nvidia.yaml": SPEC}, {},
        "cdi-outranked", "warning", "deletes sudo rm /etc/cdi/nvidia.yaml",
    ),
    "alone": ("gpu", {CDI: SPEC}, {}, "cdi-outranked", "", ""),
    "not renewed": ("gpu", {}, {"refresh": OFF}, "cdi-refresh", "warning", "refresh.path enable"),
    "renewed": (
        "gpu", {}, {"refresh": dict.fromkeys(OFF, "enabled")}, "cdi-refresh", "ok", "service",
    ),
    "no links": ("gpu", {}, {"nodes": {"links": []}}, "char-links", "warning", "daemon-reload"),
    "links": ("gpu", {}, {}, "char-links", "", ""),
    "no links, no systemd": (
        "gpu", {}, {"nodes": {"links": []}, "engine": info(cgroup_driver="cgroupfs")},
        "char-links", "", "",
    ),
    "no links, GPUs by CDI": ("gpu", {CDI: SPEC}, {"nodes": {"links": []}}, "char-links", "", ""),
    # other machines
    "WSL 1": ("engine", WSL, {}, "wsl", "problem", "wsl.exe --update"),
    "WSL 2": ("engine", WINDOWS, {}, "wsl", "", ""),
    "WSL's driver": ("engine", WINDOWS, {}, "wsl-driver", "", ""),
    "a Linux driver in WSL": ("engine", LINUX_IN_WSL, {}, "wsl-driver", "problem", "removes"),
    "no AMD": ("engine", {}, {}, "amd", "", ""),
    "AMD without ROCm": ("engine", AMD, {}, "amd", "ok", "without /dev/kfd"),
    "AMD shut": (
        "engine", AMD, {"amd": AMD_SHUT}, "amd", "warning", "open /dev/kfd No HIP usermod",
    ),
    "Arm": ("engine", {}, {"system": {"machine": "aarch64"}}, "arm", "ok", "linux/arm64"),
    "x86": ("engine", {}, {"system": {"machine": "x86_64"}}, "arm", "", ""),
    # room
    "room": ("bare", {}, {}, "disk", "ok", "200 of 500 GB"),
    "little room": (
        "bare", {}, {"space": {"/": ROOM["/"] | {"free": 15e9}}}, "disk", "warning", "15 of 500",
    ),
    "no room": ("bare", {}, {"space": {"/": ROOM["/"] | {"free": 1e9}}}, "disk", "problem", "df"),
    "no inodes": ("bare", {}, {"space": {"/": ROOM["/"] | {"inodes": 0.0}}}, "disk", "problem", ""),
    "small shm": ("container", {}, {"space": SMALL}, "shm", "warning", "64 MiB --ipc=host"),
    "small shm outside": ("bare", {}, {"space": SMALL}, "shm", "ok", ""),
    "few files": (
        "container", {}, {"user": {"nofile": [1024, 524288]}},
        "nofile", "warning", "1024 --ulimit nofile",
    ),
    "few files outside": ("bare", {}, {"user": {"nofile": [1024, 524288]}}, "nofile", "ok", ""),
    # inside a container
    "no GPU": ("container", {}, {}, "injected", "warning", "nothing of a GPU --gpus all"),
    "files and no nodes": (
        "container", MODULE | {"/usr/bin/nvidia-smi": ""}, {},
        "injected", "problem", "missing: a GPU's node, /dev/nvidiactl, /dev/nvidia-uvm (",
    ),
    "no nvidia-smi": (
        "container", MODULE, {"nodes": OF_NODES}, "injected", "warning", "utility",
    ),
    "root writes": (
        "container", {"/proc/self/mountinfo": MOUNTED}, {"user": {"uid": 0}},
        "user", "warning", "/data/out --user",
    ),
    "a user writes": (
        "container", {"/proc/self/mountinfo": MOUNTED}, {"user": {"uid": 5}}, "user", "ok", "5",
    ),
    "no home": (
        "container", {}, {"user": {"uid": 7, "home_writable": False}}, "user", "warning", "HOME",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_machine_like_this_is_told_so(tmp_path, name):
    base, files, facts, id_, status, words = CASES[name]
    finding = look(tmp_path, base, files, **{"user": USER} | facts).get(id_)
    assert (finding.status if finding else "") == status
    if finding:
        text = " ".join([finding.what, finding.why, *finding.run])
        assert re.search(".*".join(map(re.escape, words.split(" "))), text), text


@pytest.mark.parametrize("path", ["legacy", "jit-cdi"])
def test_a_container_with_all_of_it_is_told_by_which_path(tmp_path, path):
    text = (CAPTURES / path / "mountinfo").read_text(encoding="utf-8")
    files = MODULE | {"/usr/bin/nvidia-smi": "", "/proc/self/mountinfo": text}
    found = look(tmp_path, "container", files, nodes=OF_NODES, nvml=gpus())["injected"]
    assert found.status == "ok"
    assert {"legacy": "prestart hook", "jit-cdi": "CDI"}[path] in found.what


def test_every_finding_that_has_words_is_one_that_a_check_says():
    named = {(id_, key) for id_, entry in texts().items() for key in entry if id_ != "commands"}
    written = {id_ if key == "what" else f"{id_}.{key}" for id_, key in named}
    written -= {f"{id_}.{key}" for id_ in texts() for key in ("status", "why", "run")}
    code = "".join(path.read_text("utf-8") for path in ROOT.glob("gpubook/doctor/*.py"))
    assert written == set(re.findall(r'(?:say\(|else )"([a-z][a-z.-]+)"', code))


def test_what_nvml_says_is_explained_by_the_rules(tmp_path):
    message = "Driver/library version mismatch"
    found = look(tmp_path, "gpu", nvml=Driver(error=message))["driver"]
    rule = next(rule for rule in load() if rule.id == "driver-mismatch")
    assert found.what.startswith(rule.title)
    assert by_rule("something unheard of", {}).status == "problem"


@pytest.mark.parametrize(
    ("version", "cuda", "capability", "status", "says"),
    [
        ("2.9.0+cu130", "13.0", "7.5", "ok", ""),
        ("2.9.0+cu130", "13.0", "6.1", "problem", "no code"),
        ("2.9.0+cu126", "12.6", "12.0", "problem", "/whl/cu1"),
        ("2.9.0+cu126", "12.6", "6.1", "ok", ""),
        ("2.10.0+cu128", "12.8", "7.0", "ok", ""),
        ("2.11.0+cu128", "12.8", "7.0", "problem", "no code"),
        ("2.13.0+cu130", "13.0", "12.1", "ok", ""),
        ("2.9.0+cpu", "", "7.5", "warning", "a build for the CPU"),
        ("2.9.0+cu130", "13.0", "570 is loaded", "problem", "driver 580"),
    ],
)
def test_torch_is_held_against_gpu_and_driver(tmp_path, version, cuda, capability, status, says):
    torch = {"version": version, "cuda": cuda}
    if capability == "570 is loaded":
        known = {"driver": {"module": "570.133.20"}}
    else:
        known = {"nvml": gpus(capability)}
    found = look(tmp_path, "gpu", torch=torch, **known)["torch"]
    assert found.status == status
    assert says in " ".join([found.what, *found.run])


# ------------------------------------------------------------------ with a real engine


@pytest.mark.docker
def test_the_command_finds_the_real_engine_and_no_problem_with_it():
    data = json.loads(gpubook("doctor", "--json").stdout)
    assert [f["status"] for f in data["findings"] if f["id"] == "engine"] == ["ok"]


@pytest.mark.docker
def test_the_command_tells_the_real_stub_driver_from_a_driver():
    from gpubook.machine import probe as here
    from tests.docker.stub import stub_driver

    if here().capabilities["gpu"].available:
        pytest.skip("a real GPU is here")
    with stub_driver():
        done = gpubook("doctor")
    assert "this book's stub driver" in done.stdout
    assert "this book's stub driver" not in gpubook("doctor").stdout


# ------------------------------------------------------------------ it never fails itself


def test_a_reader_that_hangs_is_a_finding_and_is_not_waited_for(tmp_path):
    host = Host(tmp_path, {"PATH": ""}, limit=0.3)
    start = time.monotonic()
    facts = collect(host, {"system": READERS["system"], "disk": lambda host: time.sleep(60)})
    assert time.monotonic() - start < 30
    assert facts["disk"] == Unread("no answer within 0.3 s")
    assert facts["system"]["container"] is False


def test_a_reader_that_fails_is_a_finding(tmp_path):
    def fail(host):
        raise RuntimeError("the driver is upset")

    assert collect(Host(tmp_path), {"x": fail})["x"] == Unread("RuntimeError: the driver is upset")


@pytest.mark.parametrize("base", ["gpu", "container"])
@pytest.mark.parametrize("name", list(READERS))
def test_the_report_stands_whatever_single_fact_is_missing(tmp_path, name, base):
    found = look(tmp_path, base, **{name: Unread("unreadable")})
    assert found[name].status == "warning"
    assert "unreadable" in found[name].what
    assert not any("did not work" in f.what for f in found.values()), found


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(tmp_path):
    found = look(tmp_path, "bare", user={"nofile": None})
    assert found["limits"].status == "warning"
    assert "TypeError" in found["limits"].what
    assert found["engine"].status == "problem"


def test_the_report_stands_when_nothing_can_be_read():
    none = dict.fromkeys(READERS, Unread("no"))
    assert len(probe(Host(), none)) == len(READERS)


def test_the_real_machine_is_looked_at_without_a_change_and_every_finding_says_what_to_type():
    done = gpubook("doctor", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == (1 if data["problems"] else 0)
    assert data["kind"] == "machine"
    for finding in data["findings"]:
        assert finding["status"] in ("ok", "warning", "problem")
        assert finding["why"] or finding["status"] == "ok", finding
    assert not any("did not work" in f["what"] for f in data["findings"])


def test_problems_come_first_in_the_text(tmp_path):
    text = said.machine_text(list(look(tmp_path, "bare").values()))
    words = [line.split()[0] for line in text.split("\n") if line[:1].isalpha()]
    assert words == sorted(words, key=["problem", "warning", "ok"].index)
    assert text.endswith("1 problem, 1 warning")
