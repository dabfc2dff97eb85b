"""What a container is made of: namespaces, cgroup limits, overlay, OCI specification."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubook import engine
from gpubook.engine import captures as converters

CAPTURES = Path(__file__).parents[2] / "recordings/h100/captures"


def test_the_specification_on_the_h100_host_asks_for_six_namespaces_and_no_hook():
    spec = converters.oci_spec(CAPTURES)["spec"]
    assert sorted(spec["namespaces"]) == ["cgroup", "ipc", "mount", "network", "pid", "uts"]
    assert spec["hooks"] == {}
    assert (spec["args"], spec["user"]) == (["sleep", "20"], "0:0")


def test_root_in_a_container_has_14_capabilities_and_not_the_one_to_administer():
    capabilities = converters.oci_spec(CAPTURES)["spec"]["capabilities"]
    assert len(capabilities) == 14
    assert "CAP_CHOWN" in capabilities
    assert "CAP_SYS_ADMIN" not in capabilities


def test_system_calls_are_refused_unless_listed():
    spec = converters.oci_spec(CAPTURES)["spec"]
    assert spec["seccomp_default"] == "SCMP_ACT_ERRNO"
    assert (spec["mounts"], spec["masked_paths"]) == (10, 12)


def test_a_container_root_is_an_overlay_of_image_layer_and_init_layer():
    overlay = engine.parse_overlay((CAPTURES / "no-gpu/mountinfo").read_text())
    assert overlay["filesystem"] == "overlay"
    assert len(overlay["lower"]) == 2  # the image's one layer, and Docker's own on top of it
    assert overlay["upper"].removesuffix("/diff") == overlay["work"].removesuffix("/work")
    assert overlay["upper"].startswith("/var/lib/docker/overlay2/28aae44b7e33d52c")


def test_blanks_in_mount_paths_are_read_back():
    line = r"1 0 0:1 / / rw - overlay overlay rw,lowerdir=/a\040b:/c,upperdir=/u,workdir=/w"
    assert engine.parse_overlay(line)["lower"] == ["/a b", "/c"]


def test_lower_folders_listed_one_by_one_are_collected():
    line = "1 0 0:1 / / rw - overlay overlay rw,lowerdir+=/a,lowerdir+=/b,upperdir=/u,workdir=/w"
    assert engine.parse_overlay(line)["lower"] == ["/a", "/b"]


def test_an_ordinary_root_has_no_layers():
    overlay = engine.parse_overlay("1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw")
    assert overlay == {"filesystem": "ext4", "lower": [], "upper": "", "work": ""}


@given(st.text())
def test_any_text_as_mountinfo_is_parsed_or_refused(text):
    try:
        assert set(engine.parse_overlay(text)) == {"filesystem", "lower", "upper", "work"}
    except engine.UnexpectedAnswer as error:
        assert "nothing is mounted at /" in str(error)


def test_this_pythons_namespaces_are_those_that_the_kernel_links_to():
    own = engine.own_namespaces()
    assert str(Path("/proc/self/ns/pid").readlink()) == f"pid:[{own['pid']}]"
    assert {"pid", "mnt", "net", "uts", "ipc", "user"} <= set(own)


ID = "a" * 64


class FakeContainer:
    """What `process_chain` and `oci_spec` ask of the SDK's container."""

    id = ID

    def __init__(self, pid: int) -> None:
        self.attrs = {"State": {"Pid": pid}}

    def reload(self) -> None:
        pass


@pytest.fixture
def proc(tmp_path):
    """A /proc with dockerd, a shim and its workload, whose pid is 21."""
    commands = {
        5: (1, "/usr/bin/dockerd"),
        20: (
            1,
            f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID} -address /run/c/c.sock",
        ),
        21: (20, "sleep 60"),
    }
    for pid, (ppid, command) in commands.items():
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (x) S {ppid} 1 1 0 -1")
        (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode())
    return tmp_path / "proc"


def test_the_bundle_is_found_as_the_shims_working_folder(proc, tmp_path):
    (tmp_path / "bundle").mkdir()
    shutil.copy(CAPTURES / "no-gpu/oci-config.json", tmp_path / "bundle/config.json")
    (proc / "20/cwd").symlink_to(tmp_path / "bundle")
    bundle = engine.oci_spec(FakeContainer(21), proc)
    assert (bundle["readable"], bundle["bundle"]) == (True, str(tmp_path / "bundle"))
    assert bundle["spec"] == converters.oci_spec(CAPTURES)["spec"]


def test_a_bundle_that_may_not_be_read_says_what_to_type(proc):
    bundle = engine.oci_spec(FakeContainer(21), proc)
    assert (bundle["readable"], bundle["spec"]) == (False, None)
    assert "`sudo cat /proc/20/cwd/config.json`" in bundle["why"]


def test_a_pid_of_another_machine_is_not_taken_for_one_of_ours(proc):
    assert engine.process_chain(FakeContainer(21), proc)["visible"] is True
    elsewhere = engine.process_chain(FakeContainer(4021), proc)
    assert (elsewhere["visible"], elsewhere["links"]) == (False, [])
    assert engine.oci_spec(FakeContainer(4021), proc)["why"] == elsewhere["why"]


def test_text_without_namespaces_is_refused():
    with pytest.raises(engine.UnexpectedAnswer, match="no namespaces"):
        engine.parse_namespaces("pid: 12\n")


@given(st.dictionaries(st.sampled_from(["pid", "mnt", "net", "uts"]), st.integers(0, 2**32)))
def test_namespaces_survive_the_way_through_text(inodes):
    text = "".join(f"{kind}:[{inode}]\n" for kind, inode in inodes.items())
    if inodes:
        assert engine.parse_namespaces(text) == inodes


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"memory.max": "268435456\n", "cpu.max": "50000 100000\n", "pids.max": "64\n"},
            {"memory_bytes": 2**28, "cpus": 0.5, "pids": 64},
        ),
        (
            {"memory.max": "max\n", "cpu.max": "max 100000\n", "pids.max": "max\n"},
            {"memory_bytes": None, "cpus": None, "pids": None},
        ),
        (
            {
                "memory.limit_in_bytes": "268435456",
                "cpu.cfs_quota_us": "150000",
                "cpu.cfs_period_us": "100000",
                "pids.max": "64",
            },
            {"memory_bytes": 2**28, "cpus": 1.5, "pids": 64},
        ),
        (
            {
                "memory.limit_in_bytes": "9223372036854771712",
                "cpu.cfs_quota_us": "-1",
                "cpu.cfs_period_us": "100000",
            },
            {"memory_bytes": None, "cpus": None, "pids": None},
        ),
        ({}, {"memory_bytes": None, "cpus": None, "pids": None}),
    ],
    ids=["v2", "v2 unlimited", "v1", "v1 unlimited", "unreadable"],
)
def test_limits_of_both_cgroup_versions(files, expected):
    assert engine.parse_cgroup_limits(files) == expected


FILES = ["memory.max", "cpu.max", "pids.max", "memory.limit_in_bytes", "cpu.cfs_quota_us"]


@given(st.dictionaries(st.sampled_from(FILES), st.text(max_size=30)))
def test_any_text_in_cgroup_files_gives_numbers_or_none(files):
    limits = engine.parse_cgroup_limits(files)
    assert set(limits) == {"memory_bytes", "cpus", "pids"}
    assert all(v is None or v >= 0 for v in limits.values())
