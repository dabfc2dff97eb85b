"""What notebook 01 found out about the engine, live or replayed, must be so."""

import re

import pytest

from gpubook import machine

NOTEBOOK = "01-docker-engine"
DOCKER = machine.probe().capabilities["docker"].available

EVIDENCES = {
    "image", "hello", "docker-version", "docker-info-text", "docker-info", "daemon-json",
    "binaries", "process-chain", "runc-life", "oci-spec", "container-view",
    "exercise-init", "exercise-memory",
}  # fmt: skip


@pytest.fixture(scope="module")
def page(results):
    return results(NOTEBOOK)


def data(page, name):
    return page.evidence(name).data


def test_with_an_engine_nothing_is_replayed_and_without_one_everything_of_docker_is(page):
    assert set(page.names) == EVIDENCES | {"installation", "doctor-before", "doctor-after"}
    live = {name for name in EVIDENCES if page.evidence(name).live}
    assert live == (EVIDENCES if DOCKER else set())


def test_the_installation_is_checked_on_this_machine_with_or_without_an_engine(page):
    installation = page.evidence("installation")
    assert installation.live
    steps = [row["step"] for row in installation.data]
    assert list(dict.fromkeys(steps)) == ["old packages", "repository", "packages", "access"]
    assert steps.count("packages") == 5
    assert next(r for r in installation.data if r["step"] == "access")["ok"] or not DOCKER


def test_the_doctor_sees_the_engine_that_is_here_and_misses_the_one_that_is_not(page):
    for name in ("doctor-before", "doctor-after"):
        assert page.evidence(name).live
        report = data(page, name)
        engine = [f["status"] for f in report["findings"] if f["id"] == "engine"]
        assert engine, [f["id"] for f in report["findings"]]
        assert ("problem" in engine) == (not DOCKER)
        assert report["problems"] == [f["status"] for f in report["findings"]].count("problem")


def test_a_container_said_what_it_was_told_to_say(page):
    (step,) = data(page, "hello")["steps"]
    assert (step["exit_code"], step["stdout"]) == (0, "a process in a container\n")
    assert "docker run --rm" in step["command"]


def test_the_terminals_info_and_the_sdks_are_of_one_engine(page):
    (step,) = data(page, "docker-info-text")["steps"]
    text, info = step["stdout"], data(page, "docker-info")
    assert f"Server Version: {info['server']}\n" in text
    assert f"Storage Driver: {info['storage_driver']}\n" in text
    assert f"Cgroup Driver: {info['cgroup_driver']}\n" in text
    assert f"Default Runtime: {info['default_runtime']}\n" in text
    listed = re.search(r"Runtimes: (.*)", text)[1].split()
    assert sorted(listed) == [runtime["name"] for runtime in info["runtimes"]]
    shown = float(re.search(r"Total Memory: ([\d.]+)GiB", text)[1])
    assert info["memory_bytes"] / 2**30 == pytest.approx(shown, abs=0.05)


def test_the_version_names_the_engine_containerd_and_runc(page):
    version = data(page, "docker-version")
    releases = {c["name"]: c["release"] for c in version["components"]}
    assert {"Engine", "containerd", "runc"} <= set(releases)
    assert releases["Engine"] == re.match(r"[\d.]+", data(page, "docker-info")["server"])[0]
    runcs = {r["runc_version"] for r in data(page, "docker-info")["runtimes"]}
    assert all(v.startswith(releases["runc"]) for v in runcs if v)


def test_a_replay_is_the_h100_hosts_where_it_was_captured(page):
    if DOCKER:
        pytest.skip("an engine answers here: nothing is replayed")
    info = data(page, "docker-info")
    assert [r["name"] for r in info["runtimes"]] == ["io.containerd.runc.v2", "nvidia", "runc"]
    assert (info["cgroup_version"], info["cgroup_driver"]) == ("2", "cgroupfs")
    releases = {c["name"]: c["release"] for c in data(page, "docker-version")["components"]}
    assert releases["runc"] == "1.3.6"
    machines = {
        name: page.evidence(name).record["provenance"]["machine"]["name"] for name in EVIDENCES
    }
    not_captured = {"image", "hello", "runc-life", "container-view"}
    not_captured |= {"exercise-init", "exercise-memory"}
    assert {name for name, of in machines.items() if of != "h100"} == not_captured


def test_the_workload_hangs_from_the_shim_and_the_shim_from_neither_daemon(page):
    chain = data(page, "process-chain")
    assert chain["visible"], chain["why"]
    links = {link["role"]: link for link in chain["links"]}
    assert list(links) == ["dockerd", "containerd", "shim", "workload"]
    assert links["workload"]["parent"] == "shim"
    assert links["workload"]["ppid"] == links["shim"]["pid"]
    assert links["shim"]["ppid"] not in (links["dockerd"]["pid"], links["containerd"]["pid"])
    assert links["containerd"]["parent"] in ("dockerd", "process 1", "systemd")
    assert links["shim"]["program"] == "containerd-shim-runc-v2"
    assert chain["container_id"] in links["shim"]["command"]
    assert chain["runc_running"] is False


def test_runc_was_seen_coming_and_going(page):
    life = data(page, "runc-life")
    assert life["visible"], life["why"]
    create = life["runc"][0]  # the later ones are so short that a busy machine may miss them
    assert create["subcommand"] == "create"
    assert create["container_id"] == life["container_id"]
    assert create["bundle"].endswith(f"/{life['container_id']}")
    assert create["state_dir"].endswith(f"/{life['container_id']}")


def test_runcs_last_stage_became_the_workload(page):
    """One process id, first called runc:[2:INIT], then sleep; it outlives every runc."""
    life = data(page, "runc-life")
    names = [row["name"] for row in life["seen"] if row["pid"] == life["workload_pid"]]
    assert names[-2:] == ["runc:[2:INIT]", "sleep"]
    shim = max((r for r in life["seen"] if r["label"] == "shim"), key=seconds)
    sleep = next(r for r in life["seen"] if r["name"] == "sleep")
    create = next(r for r in life["seen"] if r["label"] == "runc create")
    assert shim["first_s"] < create["first_s"] < sleep["first_s"]
    assert create["last_s"] < sleep["last_s"]
    assert seconds(create) < seconds(shim)
    assert seconds(sleep) > 0.25  # half of what it was told to sleep: a look can come late


def seconds(row):
    return row["last_s"] - row["first_s"]


def test_the_specification_is_of_the_container_that_ran(page):
    bundle = data(page, "oci-spec")
    if not bundle["readable"]:
        assert "sudo cat" in bundle["why"]
        pytest.skip(f"the bundle is for root: {bundle['why']}")
    spec = bundle["spec"]
    assert spec["args"][0] == "sleep"
    assert {"mount", "network", "uts", "pid", "ipc"} <= set(spec["namespaces"])
    assert ("cgroup" in spec["namespaces"]) == (data(page, "docker-info")["cgroup_version"] == "2")
    assert "CAP_SYS_ADMIN" not in spec["capabilities"]
    assert spec["seccomp_default"] == "SCMP_ACT_ERRNO"
    assert spec["hostname"] in spec["cgroup_path"]


def test_a_container_has_its_own_namespaces_but_shares_user_and_time(page):
    rows = {n["kind"]: n for n in data(page, "container-view")["namespaces"]}
    assert [k for k in ("mnt", "pid", "net", "uts", "ipc") if rows[k]["shared"]] == []
    assert rows["time"]["shared"]
    assert all((r["ours"] == r["theirs"]) == r["shared"] for r in rows.values())
    if not data(page, "docker-info")["rootless"]:
        assert rows["user"]["shared"]


def test_the_workload_is_process_1_inside_and_another_outside(page):
    view = data(page, "container-view")
    assert view["command"] == "sleep 60"
    assert view["pid_inside"] == 1 < view["pid_outside"]


def test_the_limits_in_the_container_are_those_that_were_asked_for(page):
    record = page.evidence("container-view").record
    parameters = {"MEMORY_MIB": 256, "CPUS": 0.5, "PIDS": 64} | record["parameters"]
    assert record["data"]["limits"] == {
        "memory_bytes": parameters["MEMORY_MIB"] * 2**20,
        "cpus": parameters["CPUS"],
        "pids": parameters["PIDS"],
    }


def test_the_root_is_an_overlay_and_the_note_is_in_its_top(page):
    view = data(page, "container-view")
    assert view["overlay"]["filesystem"] == "overlay"
    assert len(view["overlay"]["lower"]) >= view["image_layers"] >= 1
    assert {"path": "/tmp/note", "change": "added"} in view["changes"]


def test_the_programs_are_found_where_they_run(page):
    found = {row["name"]: row for row in data(page, "binaries")}
    assert list(found)[:5] == [
        "docker", "dockerd", "containerd", "containerd-shim-runc-v2", "runc"
    ]  # fmt: skip
    assert found["dockerd"]["path"].endswith("/dockerd")
    assert found["dockerd"]["found_by"].startswith("process ")
    assert all(not r["path"] or r["path"].startswith("/") for r in found.values())


def test_daemon_json_names_the_runtimes_that_info_lists(page):
    configured = data(page, "daemon-json")["config"].get("runtimes", {})
    listed = {r["name"]: r["path"] for r in data(page, "docker-info")["runtimes"]}
    assert {name: entry["path"] for name, entry in configured.items()}.items() <= listed.items()
