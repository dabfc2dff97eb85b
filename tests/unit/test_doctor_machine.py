"""The doctor looks at machines: trees of files stand for them, and facts for what answers."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from gpubook.doctor import checks, facts, load, probe
from gpubook.doctor import report as said
from gpubook.doctor.facts import Host, Unread, collect
from gpubook.doctor.finding import by_rule
from tests.conftest import ROOT, gpubook
from tests.unit.test_doctor_rules import DELETES

CAPTURES = ROOT / "recordings/h100/captures"
INFO = {
    "server": "29.2.1",
    "operating_system": "Ubuntu 24.04.3 LTS",
    "root_dir": "/var/lib/docker",
    "cgroup_driver": "systemd",
    "cgroup_version": "2",
    "runtimes": [{"name": "runc"}],
    "cdi": {"directories": ["/etc/cdi", "/var/run/cdi"], "devices": []},
    "rootless": False,
}
ENGINE = {
    "command": "/usr/bin/docker", "error": "", "kind": "", "info": INFO,
    "host": "unix:///var/run/docker.sock", "source": "the default",
}  # fmt: skip
CTK = {name: f"/usr/bin/{name}" for name in facts.PROGRAMS}


def machine(root: Path, files: dict[str, str]) -> Host:
    """A host with these files, and room on its disk."""
    files = {"/etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.3 LTS"\n'} | files
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Host(root, {"PATH": "/usr/bin", "HOME": "/root"})


def look(host: Host, **known):
    """Findings by id; ``known`` facts take the place of those that were read."""
    room = {"/": {"free": 200e9, "total": 500e9, "inodes": 0.9}}
    steady = {"space": room, "torch": {}}
    seen = collect(host) | steady | known
    findings = probe(host, seen)
    for finding in findings:
        if any(DELETES.search(line) for line in finding.run):
            assert re.search("delete|remove", finding.why), finding
    return {finding.id: finding for finding in findings}


GPU_FILES = {
    "/sys/bus/pci/devices/0000:65:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/0000:65:00.0/class": "0x030200\n",
}
MODULE = {
    "/proc/driver/nvidia/version": (
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
    ),
    "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05": "",
    "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1": "",
    "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05": "",
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "",
}


def node(major, minor=0, mode=0o666, opens=True):
    return {"device": True, "major": major, "minor": minor, "mode": mode, "gid": 0, "open": opens}


NODES = {
    "nodes": {
        "/dev/nvidia0": node(195),
        "/dev/nvidiactl": node(195, 255),
        "/dev/nvidia-uvm": node(511),
    },
    "majors": {"nvidia-uvm": 511},
    "links": ["195:0", "195:255"],
}
NVML = {
    "error": "",
    "driver": "580.95.05",
    "gpus": [{"name": "Tesla T4", "capability": "7.5", "mig": False}],
}
SPEC = """
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: all
  containerEdits:
    deviceNodes: [{path: /dev/null}]
containerEdits:
  mounts:
  - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.VERSION
    containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.VERSION
"""


def gpu_machine(root, **files):
    host = machine(root, GPU_FILES | MODULE | {"/dev/null": ""} | files)
    known = {"engine": ENGINE, "nodes": NODES, "nvml": NVML}
    return host, known | {"toolkit": {"programs": CTK, "version": "1.18.1"}, "refresh": {}}


# ------------------------------------------------------------------ the three situations


def test_a_machine_with_nothing_is_told_to_install_an_engine(tmp_path):
    found = look(machine(tmp_path, {}))
    assert found["engine"].status == "problem"
    assert any("docker-ce" in line for line in found["engine"].run)
    assert found["gpu"].status == "warning"
    assert found["toolkit"].status == "ok"
    assert {f.id for f in found.values() if f.status == "problem"} == {"engine"}


def test_a_machine_with_an_engine_only_has_no_problem_and_is_told_of_the_gpu(tmp_path):
    found = look(machine(tmp_path, {}), engine=ENGINE)
    assert found["engine"].status == "ok"
    assert "29.2.1" in found["engine"].what
    assert found["gpu"].status == "warning"
    assert "problem" not in {f.status for f in found.values()}


def test_the_stub_driver_is_called_a_stub(tmp_path):
    files = {"/etc/cdi/gpubook-stub-driver.json": json.dumps(_stub())}
    found = look(machine(tmp_path, files), engine=ENGINE)
    assert "stub driver" in found["cdi-spec"].what
    assert found["cdi-spec"].status == "warning"
    assert "problem" not in {f.status for f in found.values()}


def _stub():
    return {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "all", "containerEdits": {"env": ["A=1"]}}],
    }


def test_a_machine_in_order_has_neither_problems_nor_warnings(tmp_path):
    host, known = gpu_machine(tmp_path)
    (tmp_path / "etc/cdi").mkdir(parents=True)
    spec = tmp_path / "etc/cdi/nvidia.yaml"
    spec.write_text(SPEC.replace("VERSION", "580.95.05"), encoding="utf-8")
    found = look(host, **known)
    assert {f.status for f in found.values()} == {"ok"}, found
    assert "580.95.05" in found["cdi-spec"].what


@pytest.mark.docker
def test_the_command_finds_the_real_engine_and_no_problem_with_it():
    data = json.loads(gpubook("doctor", "--json").stdout)
    engine = [f for f in data["findings"] if f["id"] == "engine"]
    assert [f["status"] for f in engine] == ["ok"]


@pytest.mark.docker
def test_the_command_tells_the_real_stub_driver_from_a_driver():
    from gpubook.injection.stub import stub_driver
    from gpubook.machine import probe as here

    if here().capabilities["gpu"].available:
        pytest.skip("a real GPU is here")
    with stub_driver(CAPTURES):
        done = gpubook("doctor")
    assert "this book's stub driver" in done.stdout
    assert "this book's stub driver" not in gpubook("doctor").stdout


# ------------------------------------------------------------------ engine


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        ("SocketDenied", "usermod -aG docker"),
        ("EngineUnreachable", "systemctl enable --now docker"),
    ],
)
def test_why_the_engine_is_not_reached_decides_the_command(tmp_path, kind, run):
    engine = {"command": "/usr/bin/docker", "error": "it says no", "kind": kind, "source": "x"}
    found = look(machine(tmp_path, {}), engine=engine)
    assert found["engine"].status == "problem"
    assert any(run in line for line in found["engine"].run)


def test_an_engine_before_cdi_and_one_with_cdi_off_are_told_apart(tmp_path):
    old = look(machine(tmp_path, {}), engine=ENGINE | {"info": INFO | {"server": "24.0.7"}})
    assert "no CDI" in old["engine-version"].what
    host, known = gpu_machine(tmp_path)
    info = INFO | {"server": "26.1.5+dfsg1", "cdi": {"directories": [], "devices": []}}
    off = look(host, **known | {"engine": ENGINE | {"info": info}})
    assert off["engine-cdi"].status == "warning"
    assert any("--cdi.enabled" in line for line in off["engine-cdi"].run)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"operating_system": "Docker Desktop"}, "problem"),
        ({"root_dir": "/var/snap/docker/common"}, "warning"),
    ],
)
def test_desktop_cannot_hand_on_a_gpu_and_the_snap_can(tmp_path, more, status):
    host, known = gpu_machine(tmp_path)
    found = look(host, **known | {"engine": ENGINE | {"info": INFO | more}})["engine-kind"]
    assert found.status == status
    assert not any("remove" in line for line in found.run)


def test_a_broken_daemon_json_is_a_problem_with_its_line(tmp_path):
    found = look(machine(tmp_path, {"/etc/docker/daemon.json": '{"a": 1,}'}), engine=ENGINE)
    assert found["daemon-json"].status == "problem"
    assert "line 1" in found["daemon-json"].what


def test_a_runtime_that_the_engine_has_not_read_yet_needs_a_restart(tmp_path):
    files = {"/etc/docker/daemon.json": '{"runtimes": {"nvidia": {"path": "x"}}}'}
    found = look(machine(tmp_path, files), engine=ENGINE)
    assert found["runtimes"].status == "problem"
    assert found["runtimes"].run == (checks.RESTART,)
    info = INFO | {"runtimes": [{"name": "runc"}, {"name": "nvidia"}]}
    assert look(machine(tmp_path, files), engine=ENGINE | {"info": info})["runtimes"].status == "ok"


def test_a_default_runtime_without_its_program_stops_every_container(tmp_path):
    files = {"/etc/docker/daemon.json": '{"default-runtime": "nvidia"}'}
    assert look(machine(tmp_path, files), engine=ENGINE)["default-runtime"].status == "problem"


# ------------------------------------------------------------------ driver, toolkit, CDI


def test_a_gpu_without_driver_with_nouveau_and_with_secure_boot_are_three_answers(tmp_path):
    bare = look(machine(tmp_path / "a", GPU_FILES), engine=ENGINE)["driver"]
    assert "no NVIDIA driver is installed" in bare.what
    taken = GPU_FILES | {"/sys/module/nouveau/version": ""}
    assert "nouveau" in look(machine(tmp_path / "b", taken), engine=ENGINE)["driver"].what
    nova = look(
        machine(tmp_path / "n", GPU_FILES | {"/sys/module/nova_core/version": ""}), engine=ENGINE
    )["driver"]
    assert "nova_core has it" in nova.what
    assert any("blacklist nova_core" in line for line in nova.run)
    library = {k: v for k, v in MODULE.items() if "libnvidia-ml" in k}
    host = machine(tmp_path / "c", GPU_FILES | library)
    boot = host.path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
    boot.parent.mkdir(parents=True)
    boot.write_bytes(b"\x06\0\0\0\x01")
    refused = look(host, engine=ENGINE)["driver"]
    assert "Secure Boot is on" in refused.what
    assert {f.status for f in (bare, refused)} == {"problem"}


def test_a_library_newer_than_the_module_wants_a_reboot(tmp_path):
    host, known = gpu_machine(tmp_path)
    (tmp_path / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05").unlink()
    (tmp_path / "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.126.09").touch()
    found = look(host, **known)["driver-library"]
    assert found.status == "problem"
    assert found.run == ("sudo reboot",)


def test_what_nvml_says_is_explained_by_the_rules(tmp_path):
    host, known = gpu_machine(tmp_path)
    nvml = {"error": "Driver/library version mismatch", "gpus": []}
    found = look(host, **known | {"nvml": nvml})["driver"]
    rule = next(rule for rule in load() if rule.id == "driver-mismatch")
    assert found.status == "problem"
    assert found.what.startswith(rule.title)
    assert "sudo reboot" in found.run
    assert by_rule("driver", "something unheard of", {}).status == "problem"


def test_a_missing_toolkit_matters_where_there_is_a_gpu(tmp_path):
    host, known = gpu_machine(tmp_path)
    none = {"programs": dict.fromkeys(CTK), "version": ""}
    found = look(host, **known | {"toolkit": none})["toolkit"]
    assert found.status == "problem"
    assert found.run[0] == checks.INSTALL_TOOLKIT


@pytest.mark.parametrize(("version", "warned"), [("1.17.7", True), ("1.17.8", False), ("", False)])
def test_a_toolkit_with_a_hole_is_named(tmp_path, version, warned):
    host, known = gpu_machine(tmp_path)
    found = look(host, **known | {"toolkit": {"programs": CTK, "version": version}})
    assert ("toolkit-version" in found) is warned


def test_a_specification_of_another_driver_is_stale(tmp_path):
    host, known = gpu_machine(
        tmp_path, **{"/etc/cdi/nvidia.yaml": SPEC.replace("VERSION", "550.54.14")}
    )
    found = look(host, **known)["cdi-spec"]
    assert found.status == "problem"
    assert "550.54.14" in found.what
    assert "580.95.05" in found.what
    assert found.run[0] == checks.RENEW
    known["toolkit"] = {"programs": CTK, "version": "1.17.8"}
    assert look(host, **known)["cdi-spec"].run[0] == checks.GENERATE


def test_a_specification_that_names_missing_files_is_a_problem(tmp_path):
    spec = SPEC.replace("VERSION", "580.95.05").replace("/dev/null", "/dev/nvidia7")
    host, known = gpu_machine(tmp_path, **{"/etc/cdi/nvidia.yaml": spec})
    found = look(host, **known)["cdi-spec"]
    assert found.status == "problem"
    assert "/dev/nvidia7" in found.what


def test_a_specification_that_is_none_is_a_warning_and_not_an_error(tmp_path):
    found = look(machine(tmp_path, {"/etc/cdi/bad.yaml": "kind: [\n"}), engine=ENGINE)
    assert found["cdi-spec"].status == "warning"
    assert "/etc/cdi/bad.yaml" in found["cdi-spec"].what


def test_the_specification_recorded_on_a_gpu_host_is_understood(tmp_path):
    text = (CAPTURES / "cdi-nvidia.yaml").read_text(encoding="utf-8")
    found = look(machine(tmp_path, {"/etc/cdi/nvidia.yaml": text}), engine=ENGINE)["cdi-spec"]
    assert found.status == "problem"
    assert "not there" in found.what


def test_nodes_that_are_missing_shut_or_numbered_wrongly_are_told(tmp_path):
    host, known = gpu_machine(tmp_path)

    def found(**nodes):
        return look(host, **known | {"nodes": NODES | {"nodes": NODES["nodes"] | nodes}})

    fewer = {k: v for k, v in NODES["nodes"].items() if k != "/dev/nvidia-uvm"}
    assert "nvidia-uvm" in look(host, **known | {"nodes": NODES | {"nodes": fewer}})["nodes"].what
    shut = found(**{"/dev/nvidiactl": node(195, 255, 0o660, opens=False)})["node-modes"]
    assert shut.status == "problem"
    assert "511" in found(**{"/dev/nvidia-uvm": node(237)})["uvm-number"].what


def test_missing_links_matter_with_systemd_and_the_hook_only(tmp_path):
    host, known = gpu_machine(tmp_path)
    bare = known | {"nodes": NODES | {"links": []}}
    assert look(host, **bare)["char-links"].status == "warning"
    assert "char-links" not in look(host, **known)
    engine = ENGINE | {"info": INFO | {"cgroup_driver": "cgroupfs"}}
    assert "char-links" not in look(host, **bare | {"engine": engine})


def test_mig_is_named(tmp_path):
    host, known = gpu_machine(tmp_path)
    gpus = [{"name": "NVIDIA H100", "capability": "9.0", "mig": True}]
    assert "H100" in look(host, **known | {"nvml": NVML | {"gpus": gpus}})["mig"].what


def test_a_refresh_service_that_is_off_is_a_warning(tmp_path):
    host, known = gpu_machine(tmp_path)
    off = {"nvidia-cdi-refresh.path": "disabled", "nvidia-cdi-refresh.service": "enabled"}
    assert look(host, **known | {"refresh": off})["cdi-refresh"].status == "warning"


@pytest.mark.parametrize(
    ("version", "cuda", "capability", "status"),
    [
        ("2.9.0+cu130", "13.0", "7.5", "ok"),
        ("2.9.0+cu130", "13.0", "6.1", "problem"),
        ("2.9.0+cu126", "12.6", "12.0", "problem"),
        ("2.9.0+cu126", "12.6", "6.1", "ok"),
        ("2.10.0+cu128", "12.8", "7.0", "ok"),
        ("2.11.0+cu128", "12.8", "7.0", "problem"),
        ("2.13.0+cu130", "13.0", "12.1", "ok"),
        ("2.9.0+cpu", "", "7.5", "warning"),
    ],
)
def test_torch_is_held_against_the_gpu(tmp_path, version, cuda, capability, status):
    host, known = gpu_machine(tmp_path)
    gpus = [{"name": "GPU", "capability": capability, "mig": False}]
    known |= {"torch": {"version": version, "cuda": cuda}, "nvml": NVML | {"gpus": gpus}}
    assert look(host, **known)["torch"].status == status


def test_torch_is_held_against_the_driver(tmp_path):
    host, known = gpu_machine(tmp_path)
    known["driver"] = collect(host)["driver"] | {"module": "570.133.20"}
    known["torch"] = {"version": "2.9.0+cu130", "cuda": "13.0"}
    found = look(host, **known)["torch"]
    assert found.status == "problem"
    assert "580" in found.what


# ------------------------------------------------------------------ other machines


def test_an_old_number_of_uvm_in_the_specification_is_told(tmp_path):
    old = SPEC.replace("VERSION", "580.95.05").replace(
        "{path: /dev/null}", "{path: /dev/null}, {path: /dev/nvidia-uvm, major: 510, minor: 0}"
    )
    files = {"/etc/cdi/nvidia.yaml": old, "/dev/nvidia-uvm": ""}
    host, known = gpu_machine(tmp_path / "old", **files)
    found = look(host, **known)["uvm-in-cdi"]
    assert found.status == "problem"
    assert found.run[0] == checks.RENEW
    assert "510" in found.what
    assert "511" in found.what
    host, known = gpu_machine(
        tmp_path / "new", **files | {"/etc/cdi/nvidia.yaml": old.replace("510", "511")}
    )
    assert "uvm-in-cdi" not in look(host, **known)


def test_a_specification_that_another_outranks_is_told(tmp_path):
    spec = SPEC.replace("VERSION", "580.95.05")
    files = {"/etc/cdi/nvidia.yaml": spec, "/var/run/cdi/nvidia.yaml": spec}
    host, known = gpu_machine(tmp_path / "two", **files)
    found = look(host, **known)["cdi-outranked"]
    assert found.run == ("sudo rm /etc/cdi/nvidia.yaml",)
    assert "deletes" in found.why
    host, known = gpu_machine(tmp_path / "one", **{"/etc/cdi/nvidia.yaml": spec})
    assert "cdi-outranked" not in look(host, **known)


def test_two_engines_are_told_and_podman_is_no_second_docker(tmp_path):
    one = {"/run/docker.sock": "", "/run/podman/podman.sock": ""}
    assert "engines" not in look(machine(tmp_path / "a", one), engine=ENGINE)
    two = look(machine(tmp_path / "b", one | {"/run/snap.docker/docker.sock": ""}), engine=ENGINE)
    assert two["engines"].status == "warning"
    assert "the snap" in two["engines"].what


WSL = {"/proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n"}


def test_wsl_needs_the_way_to_windows_and_no_driver_of_its_own(tmp_path):
    assert look(machine(tmp_path / "a", WSL), engine=ENGINE)["wsl"].status == "problem"
    windows = WSL | {"/dev/dxg": "", "/usr/lib/wsl/lib/libcuda.so.1": ""}
    good = look(machine(tmp_path / "b", windows), engine=ENGINE)
    assert not {"wsl", "wsl-driver"} & set(good)
    linux = windows | {"/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05": ""}
    found = look(machine(tmp_path / "c", linux), engine=ENGINE)["wsl-driver"]
    assert found.status == "problem"
    assert "removes the packages" in found.why


AMD_FILES = {
    "/sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002\n",
    "/sys/bus/pci/devices/0000:03:00.0/class": "0x030000\n",
}


def test_an_amd_gpu_is_named_and_its_nodes_are_looked_at(tmp_path):
    assert "amd" not in look(machine(tmp_path / "a", {}), engine=ENGINE)
    bare = look(machine(tmp_path / "b", AMD_FILES), engine=ENGINE)
    assert "without /dev/kfd" in bare["amd"].what
    assert bare["gpu"].status == "warning"
    shut = {"bus": ["0000:03:00.0"], "nodes": {"/dev/kfd": False, "/dev/dri/renderD128": True}}
    found = look(machine(tmp_path / "c", AMD_FILES), engine=ENGINE, amd=shut)["amd"]
    assert found.status == "warning"
    assert "/dev/kfd" in found.what
    assert "renderD128" not in found.what


def test_an_arm_machine_is_told_which_images_it_needs(tmp_path):
    host = machine(tmp_path, {})
    arm = collect(host)["system"] | {"machine": "aarch64"}
    assert "linux/arm64" in look(host, engine=ENGINE, system=arm)["arm"].what
    x86 = collect(host)["system"] | {"machine": "x86_64"}
    assert "arm" not in look(host, engine=ENGINE, system=x86)


def test_a_driver_without_a_gpu_may_be_the_wrong_flavour(tmp_path):
    host, known = gpu_machine(tmp_path)
    none = NVML | {"gpus": []}
    assert "open-module" not in look(host, **known | {"nvml": none})
    closed = collect(host)["driver"] | {"open_module": False}
    found = look(host, **known | {"nvml": none, "driver": closed})["open-module"]
    assert found.status == "warning"
    assert "open-module" not in look(host, **known | {"driver": closed})


def test_a_generation_without_a_future_is_told(tmp_path):
    host, known = gpu_machine(tmp_path)
    gpus = [{"name": "Tesla V100", "capability": "7.0", "mig": False}]
    found = look(host, **known | {"nvml": NVML | {"gpus": gpus}})["generation"]
    assert "580" in found.why
    assert "generation" not in look(host, **known)


# ------------------------------------------------------------------ room and limits


@pytest.mark.parametrize(("free", "status"), [(200e9, "ok"), (15e9, "warning"), (1e9, "problem")])
def test_disk(tmp_path, free, status):
    room = {"/": {"free": free, "total": 500e9, "inodes": 0.9}}
    assert look(machine(tmp_path, {}), space=room)["disk"].status == status


def test_a_disk_out_of_inodes_is_full(tmp_path):
    room = {"/": {"free": 200e9, "total": 500e9, "inodes": 0.0}}
    assert look(machine(tmp_path, {}), space=room)["disk"].status == "problem"


# ------------------------------------------------------------------ inside a container


def container(root, **files):
    return machine(root, {"/.dockerenv": ""} | files)


def test_a_container_without_gpu_or_docker_is_in_order(tmp_path):
    found = look(container(tmp_path))
    assert "nothing of a GPU" in found["injected"].what
    assert "--gpus all" in found["injected"].run[0]
    assert "problem" not in {f.status for f in found.values()}


def test_a_container_with_files_and_no_nodes_is_told_what_is_missing(tmp_path):
    found = look(container(tmp_path, **MODULE | {"/usr/bin/nvidia-smi": ""}))
    (tmp_path / "usr/bin/nvidia-smi").chmod(0o755)
    assert found["injected"].status == "problem"
    assert "/dev/nvidiactl" in found["injected"].what
    assert "libcuda" not in found["injected"].what


def test_a_container_with_all_of_it_is_told_by_which_path(tmp_path):
    host = container(tmp_path, **MODULE | {"/usr/bin/nvidia-smi": ""})
    (tmp_path / "usr/bin/nvidia-smi").chmod(0o755)
    mounts = {
        p: (CAPTURES / p / "mountinfo").read_text(encoding="utf-8") for p in ("legacy", "jit-cdi")
    }
    said_of = {
        path: look(host, nodes=NODES, nvml=NVML, mountinfo=text)["injected"]
        for path, text in mounts.items()
    }
    assert {f.status for f in said_of.values()} == {"ok"}
    assert "prestart hook" in said_of["legacy"].what
    assert "CDI" in said_of["jit-cdi"].what


ROOT_USER = {"uid": 0, "groups": [0], "home": "/root", "home_writable": True}


def test_small_shared_memory_and_few_files_are_told_in_a_container_only(tmp_path):
    room = {"/dev/shm": {"free": 6e7, "total": 64 * 2**20, "inodes": 0.9}}
    user = ROOT_USER | {"nofile": [1024, 524288]}
    inside = look(container(tmp_path / "in"), space=room, user=user)
    assert {inside["shm"].status, inside["nofile"].status} == {"warning"}
    assert "--ulimit nofile" in inside["nofile"].run[0]
    outside = look(machine(tmp_path / "out", {}), space=room, user=user)
    assert {outside["shm"].status, outside["nofile"].status} == {"ok"}


def test_root_with_a_mounted_folder_is_told_whose_files_it_writes(tmp_path):
    line = "812 700 8:1 /home/ada/out /data/out rw,relatime - ext4 /dev/sda1 rw\n"
    user = ROOT_USER | {"nofile": [65536, 65536]}
    found = look(container(tmp_path), mountinfo=line, user=user)["user"]
    assert found.status == "warning"
    assert "/data/out" in found.what
    other = look(container(tmp_path), mountinfo=line, user=user | {"uid": 1000})
    assert other["user"].status == "ok"


# ------------------------------------------------------------------ it never fails itself


def test_a_reader_that_hangs_is_a_finding_and_is_not_waited_for(tmp_path):
    host = Host(tmp_path, {"PATH": ""}, limit=0.3)

    def hang(host):
        time.sleep(60)

    start = time.monotonic()
    seen = collect(host, {"system": facts.READERS["system"], "disk": hang})
    assert time.monotonic() - start < 30
    assert seen["disk"] == Unread("no answer within 0.3 s")
    assert seen["system"]["container"] is False


def test_a_reader_that_fails_is_a_finding(tmp_path):
    def fail(host):
        raise RuntimeError("the driver is upset")

    assert collect(Host(tmp_path), {"x": fail})["x"] == Unread("RuntimeError: the driver is upset")


@pytest.mark.parametrize("name", list(facts.READERS))
def test_the_report_stands_whatever_single_fact_is_missing(tmp_path, name):
    host, known = gpu_machine(tmp_path)
    found = look(host, **known | {name: Unread("unreadable")})
    assert found[name].status == "warning"
    assert "unreadable" in found[name].what
    assert not any("did not work" in f.what for f in found.values()), found


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(tmp_path):
    found = look(machine(tmp_path, {}), user={"nonsense": 1})
    assert found["limits"].status == "warning"
    assert "KeyError" in found["limits"].what
    assert found["engine"].status == "problem"


def test_the_report_stands_when_nothing_can_be_read():
    none = dict.fromkeys(facts.READERS, Unread("no"))
    assert len(probe(Host(), none)) == len(facts.READERS)


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_daemon_json_is_a_warning(tmp_path):
    host = machine(tmp_path, {"/etc/docker/daemon.json": "{}"})
    host.path("/etc/docker/daemon.json").chmod(0)
    assert look(host)["daemon-json"].status == "warning"


def test_the_real_machine_is_looked_at_without_a_change_and_every_finding_says_what_to_type():
    done = gpubook("doctor", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == (1 if data["problems"] else 0)
    assert data["kind"] == "machine"
    for finding in data["findings"]:
        assert finding["status"] in ("ok", "warning", "problem")
        if finding["status"] != "ok":
            assert finding["why"], finding
    assert not any("did not work" in f["what"] for f in data["findings"])


def test_problems_come_first_in_the_text(tmp_path):
    text = said.machine_text(list(look(machine(tmp_path, {})).values()))
    words = [line.split()[0] for line in text.split("\n") if line[:1].isalpha()]
    assert words == sorted(words, key=["problem", "warning", "ok"].index)
    assert text.endswith("1 problem, 1 warning")
