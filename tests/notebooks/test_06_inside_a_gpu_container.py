"""Page 06's results: what was put in, sorted by the page's table, and the path by its decision."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from gpubook import injection
from gpubook.evidence.records import load_recording, recording_path, recordings_of
from gpubook.injection.classes import known_path
from tests.captured import CAPTURES, COUNTS, PATHS, observation
from tests.conftest import ROOT
from tests.notebooks import pages
from tools import import_captures as captures

NOTEBOOK = "06-inside-a-gpu-container"
CONTAINERS = {"plain": "plain", "--device": "device", "--runtime": "runtime", "--gpus": "gpus"}
WAYS = tuple(CONTAINERS.values())
KINDS = ("mount", "device", "env")


def printed(page):
    """What each of the four containers printed, by the way of asking."""
    return dict(zip(WAYS, pages.printed(page, "plain") + pages.printed(page, "looks"), strict=True))


def parts(page, way):
    """Its mounts, nodes and environment."""
    return printed(page)[way].split("\n\n")


def evidence_of(page, way):
    return page.evidence("plain" if way == "plain" else "looks")


def captured(*ways):
    """Of one container its three parts."""
    (step,) = captures.look(*ways)(CAPTURES)["steps"]
    return step["stdout"].split("\n\n")


SPECS = captures.specs(CAPTURES)


def code(texts, specs=SPECS):
    """The page's table and functions, run on what the four containers printed."""
    plain, *looks = texts
    names = {"plain": [plain], "looks": looks, "specs": specs}
    return pages.names(NOTEBOOK, "things", "containers", "rules", "classify", "decide", **names)


CODE = code([step["stdout"] for step in captures.look(*WAYS)(CAPTURES)["steps"]])


def by_library(seen):
    """Class by thing; "usual" for what Docker, the image or the request brought. Variables that
    are not NVIDIA's are usual: which of them the image brought only `docker inspect` knows."""

    def kind(item):
        usual = item.origin not in ("injected", "unknown")
        other = item.kind == "env" and item.class_id != "environment"
        return "usual" if usual or other else item.class_id

    return {i.target: kind(i) for i in injection.classify(seen) if i.kind in KINDS}


def by_page(texts, rules=CODE["RULES"]):
    return {thing: CODE["classify"](thing, rules) for thing in CODE["things"](*texts)}


@pytest.mark.parametrize("way", WAYS)
def test_the_pages_table_sorts_each_captured_thing_as_the_library_does(way):
    seen = observation(captures.FOLDERS[way])
    assert by_page(captured(way)) == by_library(seen)


@pytest.mark.parametrize("way", WAYS)
def test_the_pages_table_sorts_each_thing_of_this_run_as_the_library_does(page, way):
    sorted_ = by_page(parts(page, way))
    assert sorted_ == by_library(injection.from_outputs(*parts(page, way)))
    assert "unknown" not in sorted_.values()


def recorded():
    """What the three containers printed, and their specs, on each machine that recorded both."""
    for recording in recordings_of(ROOT, NOTEBOOK, "looks"):
        machine_name = recording["provenance"]["machine"]["name"]
        path = recording_path(ROOT, machine_name, NOTEBOOK, "specs")
        if path.is_file():
            texts = [step["stdout"] for step in recording["data"]["steps"]]
            yield pytest.param(texts, load_recording(path)["data"], id=machine_name)


@pytest.mark.parametrize(("texts", "specs"), list(recorded()))
def test_table_and_decision_are_the_librarys_on_every_recording(texts, specs):
    (plain,) = [step["stdout"] for step in captures.look("plain")(CAPTURES)["steps"]]
    page = code([plain, *texts], specs)
    for name, text in zip(list(CONTAINERS)[1:], texts, strict=True):
        seen = injection.from_outputs(*text.split("\n\n"), specs[name])
        assert by_page(text.split("\n\n")) == by_library(seen)
        assert page["DECIDED"][name] == injection.decide(seen).path


@pytest.mark.parametrize("row", CODE["RULES"], ids=lambda row: f"{row[1]} {row[0][:12]}")
def test_without_one_of_its_rules_the_table_is_wrong(row):
    fewer = [other for other in CODE["RULES"] if other is not row]
    assert any(by_page(captured(way), fewer) != by_page(captured(way)) for way in captures.FOLDERS)


def test_the_order_of_the_rules_counts():
    backwards = CODE["RULES"][::-1]
    assert by_page(captured("device"), backwards) != by_page(captured("device"))


def test_what_no_rule_knows_is_counted_as_unknown():
    mountinfo, nodes, env = captured("device")
    odd = mountinfo.splitlines()[8].split(" ")
    odd[4] = "/opt/new/driver.bin"
    sorted_again = by_page([f"{mountinfo}\n{' '.join(odd)}", nodes, env])
    assert [t for t, kind in sorted_again.items() if kind == "unknown"] == ["/opt/new/driver.bin"]


def test_a_thing_that_is_there_twice_is_one_line_of_the_count():
    for name, things in CODE["THINGS"].items():
        assert len(things) == len(set(things)), name


@pytest.mark.parametrize(("name", "way"), CONTAINERS.items())
def test_the_pages_decision_is_the_librarys_on_the_captures(name, way):
    folder = captures.FOLDERS[way]
    assert CODE["DECIDED"][name] == PATHS[folder]
    assert (
        injection.decide(injection.from_outputs(*captured(way), SPECS[name])).path
        == (PATHS[folder])
    )


def test_the_pages_decision_is_the_librarys_on_this_run(page):
    specs = page.evidence("specs").data
    decided = code(printed(page).values(), specs)
    for name, way in CONTAINERS.items():
        decision = injection.decide(injection.from_outputs(*parts(page, way), specs[name]))
        assert decided["DECIDED"][name] == decision.path
        if evidence_of(page, way).live == page.evidence("specs").live:
            assert decision.against == ()


def counts_of(page, way):
    return Counter(by_page(parts(page, way)).values())


@pytest.mark.parametrize("way", WAYS)
def test_a_recorded_container_has_the_counts_of_its_capture(page, way):
    evidence = evidence_of(page, way)
    if evidence.live or evidence.record["provenance"]["machine"]["name"] != "h100":
        pytest.skip("not the captured container")
    counts = counts_of(page, way)
    del counts["usual"]
    assert counts == {k: n for k, n in COUNTS[captures.FOLDERS[way]].items() if k != "hook"}


def test_the_control_got_nothing(page):
    assert set(counts_of(page, "plain")) == {"usual"}
    spec = page.evidence("specs").data["plain"]
    assert spec["devices"] == []
    assert not any("nvidia" in word for hook in spec["hooks"] for word in hook)


@pytest.mark.parametrize("way", ["device", "runtime", "gpus"])
def test_every_request_brings_the_node_the_control_nodes_libcuda_and_nvml(page, way):
    counts = counts_of(page, way)
    assert counts["gpu-node"] >= 1
    assert counts["control-node"] >= 3
    things = CODE["things"](*parts(page, way))
    for library in ("libcuda.so.", "libnvidia-ml.so."):
        assert any(library in thing for thing in things)


def test_the_device_is_answered_by_the_engines_cdi(page):
    specs = page.evidence("specs").data
    assert CODE["decide"](CODE["mounts"](parts(page, "device")[0]), specs["--device"]) == (
        "engine-cdi"
    )
    assert "NVIDIA_VISIBLE_DEVICES=void" in parts(page, "device")[2].splitlines()
    assert specs["--device"]["asked"][0]["DeviceIDs"] == ["nvidia.com/gpu=all"]


def test_nodes_are_mounts_on_the_legacy_path_and_listed_for_runc_on_the_others(page):
    specs = page.evidence("specs").data
    for name, way in CONTAINERS.items():
        if way == "plain":
            continue
        mounted = [t for t in CODE["mounts"](parts(page, way)[0]) if t.startswith("/dev/nvidia")]
        listed = [path for path in specs[name]["devices"] if path.startswith("/dev/nvidia")]
        assert bool(mounted) != bool(listed), name
        rules = len(specs[name]["rules"]) - len(specs["plain"]["rules"])
        assert rules == len(listed), "a rule for each node that the specification names"


@pytest.mark.parametrize("way", ["gpus", "device"])
def test_the_riddle_is_what_the_whole_texts_say(page, way):
    mounts, nodes = pages.printed(page, f"riddle-{way}")
    mountinfo, listed, _ = parts(page, way)
    said = [line for line in mountinfo.splitlines() if "nvidia" in line.lower()]
    hooks = re.compile(r"/run/nvidia-ctk-hook.*")  # another name each time
    assert [hooks.sub("", line) for line in mounts.splitlines()] == [
        hooks.sub("", line.split(" ")[4]) for line in said
    ]
    paths = {line.split()[-1] for line in listed.splitlines()}
    assert set(nodes.split()) == {path for path in paths if path.startswith("/dev/nvidia")}
    assert ("/dev/nvidia0" in mounts) != ("/dev/nvidia0" in nodes)


def test_grep_for_nvidia_misses_libcuda_where_it_lies_in_the_usual_folder(page):
    mounts = CODE["mounts"](captured("gpus")[0])
    assert any("libcuda.so" in path for path in mounts)
    riddle = captures.riddle("gpus")(CAPTURES)["steps"][0]["stdout"]
    assert "libcuda" not in riddle


def test_the_legacy_hook_brings_libraries_for_compute_and_utility_only():
    def capabilities(way):
        sorted_ = by_page(captured(way))
        files = [t for t, k in sorted_.items() if k in ("driver-library", "driver-binary")]
        return {known_path(path).capability for path in files}

    assert capabilities("gpus") == {"compute", "utility"}
    assert capabilities("device") == {"compute", "graphics", "utility", "video"}


def test_hooks_make_the_links_and_refresh_the_cache_for_libcuda(page):
    hooks = page.evidence("specs").data["--device"]["hooks"]
    assert {"create-symlinks", "update-ldcache"} <= {hook[2] for hook in hooks}
    (text,) = pages.printed(page, "names")
    assert re.search(r"/libcuda\.so\.1 -> libcuda\.so\.\d+\.\d+", text)
    assert re.search(r"^\s*libcuda\.so\.1 \(.*\) => /\S+/libcuda\.so\.1$", text, re.MULTILINE)


def test_exercise_1_cdi_turns_the_variable_to_void(page):
    answer = page.solution(1)
    for name, way in CONTAINERS.items():
        env = injection.from_outputs(*parts(page, way)).env
        assert answer[name] == env.get("NVIDIA_VISIBLE_DEVICES", "")
    assert answer["plain"] == ""
    assert answer["--device"] == "void"


def test_exercise_2_what_moved_has_one_name_and_two_folders(page):
    def libraries(way):
        kinds = by_library(injection.from_outputs(*parts(page, way)))
        return {t.rsplit("/", 1)[1]: t for t, kind in kinds.items() if kind == "driver-library"}

    device, gpus = libraries("device"), libraries("gpus")
    moved = {row["library"]: row for row in page.solution(2)}
    assert set(moved) == {n for n in device.keys() & gpus.keys() if device[n] != gpus[n]}
    for name, row in moved.items():
        assert device[name] == f"{row['--device']}/{name}"
        assert gpus[name] == f"{row['--gpus']}/{name}"


def test_exercise_3_a_name_proves_nothing(page):
    assert page.solution(3) == {"class": "gpu-node", "major": 1, "minor": 5}


def test_exercise_4_from_inside_cdi_and_legacy_differ_and_the_two_cdi_paths_do_not(page):
    for name, way in CONTAINERS.items():
        seen = injection.from_outputs(*parts(page, way))
        assert page.solution(4)[name] == injection.decide(seen).path
