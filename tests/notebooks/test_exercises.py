"""The solutions of the exercises: each is worked out again here, another way where there is one."""

from __future__ import annotations

import collections
import itertools
import json
import math
import re

import pytest
from sklearn import metrics as reference

from gpubook import injection, machine
from gpubook.matmul import kinds
from gpubook.spam import data
from tests.conftest import NOTEBOOKS, ROOT


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_exercise_has_a_folded_solution_that_was_run_and_gave_an_answer(
    results, executed, name
):
    page = json.loads((executed / "executed" / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: cell for cell in page["cells"]}
    asked = [int(m[1]) for i in cells if (m := re.fullmatch(r"exercise-(\d+)", i))]
    assert asked == list(range(1, len(asked) + 1))
    assert len(asked) >= 4
    kinds_ = []
    for n in asked:
        text = source(cells[f"exercise-{n}"])
        kinds_.append(re.match(rf"\*\*Exercise {n} \((read|compute|change)\)\. ", text)[1])
        solved = cells[f"solution-{n}"]
        assert solved["execution_count"], f"solution {n} was not run"
        assert "hide-cell" in solved["metadata"]["tags"], f"solution {n} is not folded in the book"
        assert solved["metadata"]["jupyter"]["source_hidden"], "nor in JupyterLab"
        assert solved["metadata"]["jupyter"]["outputs_hidden"]
        assert f"exercise {n}" in solved["metadata"]["mystnb"]["code_prompt_show"]
    assert kinds_[0] == "read", "the first one reads a result"
    assert "change" in kinds_, "one changes the experiment"
    given = results(name).result["solutions"]
    assert [item["exercise"] for item in given] == asked


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_solutions_are_cheap(results, name):
    times = results(name).result["cells"]
    spent = sum(c["end"] - c["start"] for c in times if c["id"].startswith("solution-"))
    whole = sum(c["end"] - c["start"] for c in times)
    assert spent < whole / 2, "solving takes longer than the rest of the page"


# 01


@pytest.fixture
def docker_page(results):
    return results("01-docker-engine")


def test_01_the_walk_upwards_meets_the_shim_and_no_daemon(docker_page):
    path = docker_page.solution(1)["path"]
    assert path[:2] == ["workload", "shim"]
    assert "dockerd" not in path
    links = {r["role"]: r for r in docker_page.evidence("process-chain").data["links"]}
    for child, parent in itertools.pairwise(path):
        assert links[child]["ppid"] == links[parent]["pid"]
    assert links[path[-1]]["ppid"] not in [row["pid"] for row in links.values()], "it goes on"


def test_01_the_time_of_runc_is_what_a_look_every_tenth_of_a_millisecond_adds_up_to(docker_page):
    life = docker_page.evidence("runc-life").data
    bars = [(r["first_s"], r["last_s"]) for r in life["seen"] if r["label"].startswith("runc")]
    step = 1e-4
    looks = range(round(life["duration_s"] / step))
    seen = sum(any(a <= i * step <= b for a, b in bars) for i in looks) * step
    answer = docker_page.solution(2)
    assert answer["seconds"] == pytest.approx(seen, abs=2e-3 + 0.02 * seen)
    assert answer["share"] == pytest.approx(answer["seconds"] / life["duration_s"])
    assert answer["seconds"] < sum(b - a for a, b in bars), "the bars overlap"
    assert 0 < answer["share"] < 1


def test_01_namespaces_are_shared_where_the_numbers_agree(docker_page):
    rows = docker_page.evidence("container-view").data["namespaces"]
    answer = docker_page.solution(3)
    assert answer["shared"] == [r["kind"] for r in rows if r["ours"] == r["theirs"]]
    assert {"pid", "mnt", "net", "ipc", "uts"} <= set(answer["own"])
    assert answer["own"] == [r["kind"] for r in rows if r["ours"] != r["theirs"]]


def test_01_with_init_process_1_is_dockers_init_and_the_program_comes_after(docker_page):
    assert docker_page.solution(4)["programs"] == ["docker-init", "sleep"]


def test_01_the_kernel_kills_what_asks_for_too_much(docker_page):
    answer = docker_page.solution(5)
    assert answer["exit_code"] == 128 + 9
    assert answer["oom_killed"] is True


# 02


@pytest.fixture
def toolkit_page(results):
    return results("02-nvidia-container-toolkit")


def test_02_exit_codes_say_who_refused(toolkit_page):
    steps = toolkit_page.evidence("wrong-requests").data["steps"]
    answer = toolkit_page.solution(1)
    assert answer["codes"] == [step["exit_code"] for step in steps]
    assert answer["codes"][2] == 127
    assert "executable file not found" in steps[2]["stdout"]
    assert answer["refused"] == 2
    for step, code in zip(steps, answer["codes"], strict=True):
        if code == 125:
            assert "Error response from daemon" in step["stdout"]


def test_02_one_host_has_one_driver_whatever_the_way(toolkit_page):
    drivers = toolkit_page.solution(2)["drivers"]
    assert len(drivers) == 3
    by_host: dict = {}
    for name, version in drivers.items():
        evidence = toolkit_page.evidence(name)
        assert f"NVIDIA-SMI {version}" in evidence.data["steps"][0]["stdout"]
        provenance = evidence.record["provenance"]
        by_host.setdefault((provenance["machine"]["name"], provenance["stub"]), set()).add(version)
    assert all(len(versions) == 1 for versions in by_host.values()), by_host


def test_02_the_settings_that_differ_are_those_with_two_values(toolkit_page):
    configured = toolkit_page.evidence("configured")
    rows = injection.settings_difference(configured.data["daemon_json"], configured.data["dry_run"])
    answer = toolkit_page.solution(3)["settings"]
    assert answer == [row["setting"] for row in rows]
    if not configured.live:
        assert answer == ["runtimes.nvidia.path"]


def test_02_docker_27_reads_cdi_only_when_told_and_28_2_by_itself(toolkit_page):
    answer = toolkit_page.solution(4)
    assert answer["ways"] == {
        "as typed": None,
        "features.cdi set": "engine-cdi",
        "--gpus all": "legacy",
    }
    assert answer["first"] == "28.2"


def test_02_the_doctor_forgives_line_breaks_and_no_letters(toolkit_page):
    assert toolkit_page.solution(5) == {
        "as printed": ["runtime-unknown"],
        "broken into lines": ["runtime-unknown"],
        "a letter missing": [],
    }


# 03


@pytest.fixture
def inside_page(results):
    return results("03-inside-a-gpu-container")


def test_03_proc_shows_one_driver_to_all_containers_of_a_host(inside_page):
    told = inside_page.solution(1)
    names = ("container-plain", "container-device", "container-runtime", "container-gpus")
    assert len(told) == len(names)
    for name in names:
        evidence = inside_page.evidence(name)
        (row,) = [r for c, r in told.items() if c.startswith(evidence.data["command"])]
        seen = evidence.data["observation"]
        assert row["driver"] == seen["driver_version"]
        assert row["modify"] == seen["driver_params"].get("ModifyDeviceFiles")
        if evidence.record["provenance"]["machine"]["gpus"]:
            assert row["driver"], "the control sees it, too"
            assert row["modify"] == ("1" if name == "container-plain" else "0")


def test_03_what_moved_has_one_name_and_two_folders(inside_page):
    rows = inside_page.solution(2)["moved"]
    targets = {
        name: {m["target"] for m in inside_page.evidence(name).data["observation"]["mounts"]}
        for name in ("container-device", "container-gpus")
    }
    for row in rows:
        assert row["device"].rsplit("/", 1)[1] == row["gpus"].rsplit("/", 1)[1]
        assert row["device"] != row["gpus"]
        assert row["device"] in targets["container-device"]
        assert row["gpus"] in targets["container-gpus"]
    names = [{t.rsplit("/", 1)[1] for t in found} for found in targets.values()]
    both = {name for name in names[0] & names[1] if ".so." in name}
    same = targets["container-device"] & targets["container-gpus"]
    missed = both - {row["device"].rsplit("/", 1)[1] for row in rows}
    assert missed <= {path.rsplit("/", 1)[1] for path in same}


def test_03_a_misspelt_library_is_unknown_and_no_longer_injected(inside_page):
    answer = inside_page.solution(3)
    assert answer["odd"] == answer["line"].replace("libnvidia-ml", "libnvidia-mll")
    before = inside_page.evidence("container-device").data["observation"]
    mounts = [
        m | {"target": answer["odd"]} if m["target"] == answer["line"] else m
        for m in before["mounts"]
    ]
    kept, changed = (
        injection.classify(injection.from_json(seen))
        for seen in (before, before | {"mounts": mounts})
    )
    assert answer["unknown"] == [item.target for item in injection.unknown(changed)]
    assert answer["odd"] in answer["unknown"]
    injected = [len(injection.injected(items)) for items in (kept, changed)]
    assert answer["lost"] == injected[0] - injected[1] >= 1


def test_03_the_second_lamp_may_be_written_and_shares_the_manual(inside_page):
    assert inside_page.solution(4) == {
        "permissions": {"red": "r", "blue": "rw"},
        "mounts": {"red": ["/lamp/manual.txt"], "blue": ["/lamp/manual.txt"]},
    }


def test_03_a_hook_for_lunch_is_refused_with_the_stages_that_exist(inside_page):
    refused = inside_page.solution(5)["refused"]
    assert "'beforeLunch'" in refused
    assert "createContainer" in refused
    assert refused.endswith("poststop")


# 05


@pytest.fixture
def training_page(results):
    return results("05-fine-tune-bert")


def test_05_those_who_disagree_are_counted_right(training_page):
    answer = training_page.solution(1)
    linear = training_page.evidence("baseline").data
    bert = training_page.evidence("training").data["test_at_threshold"]
    # Whatever one has right alone is the difference of what each has right at all.
    difference = round((linear["accuracy"] - bert["accuracy"]) * bert["messages"])
    assert answer["tfidf"] - answer["bert"] == difference
    low, high = sorted([linear["f1_interval"], bert["f1_interval"]])
    assert answer["overlap"] is (high[0] <= low[1])


def test_05_copies_leak_from_a_random_split_and_not_from_ours(training_page):
    answer = training_page.solution(2)
    counted = training_page.evidence("data").data
    assert answer["honest"] == 0
    everything = data.load()
    assert len(everything) == counted["messages"]
    parts = data.split(everything, seed=2023)
    trained_on = collections.Counter(map(data.fingerprint, parts.train.texts))
    asked = collections.Counter(map(data.fingerprint, parts.test.texts))
    assert answer["messages"] == asked.total()
    assert answer["leaked"] == sum(n for text, n in asked.items() if trained_on[text]) > 0


def test_05_with_messages_of_one_length_only_the_fixed_padding_is_left(training_page):
    assert training_page.solution(3) == {
        "all to 128": pytest.approx(8 / 128),
        "random batches": 0,
        "by length": 0,
    }


def test_05_a_careful_threshold_costs_recall(training_page):
    answer = training_page.solution(4)
    trained = training_page.evidence("training").data
    part = trained["validation_predictions"]
    precision, _, thresholds = reference.precision_recall_curve(
        part["labels"], part["probabilities"], drop_intermediate=False
    )
    reaching = [t for p, t in zip(precision[:-1], thresholds, strict=True) if p >= 0.99]
    assert answer["threshold"] == pytest.approx(min(reaching, default=1.0))
    test = trained["test_predictions"]
    called = [int(p >= answer["threshold"]) for p in test["probabilities"]]
    assert answer["recall"] == pytest.approx(reference.recall_score(test["labels"], called))
    assert answer["precision"] == pytest.approx(reference.precision_score(test["labels"], called))
    low, high = answer["precision_interval"]
    z, n, p = 1.959963984540054, sum(called), answer["precision"]  # Wilson's interval, 95 %
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-6)
    if answer["threshold"] >= trained["test_at_threshold"]["threshold"]:
        assert answer["recall"] <= trained["test_at_threshold"]["recall"]


# 06


@pytest.fixture
def predict_page(results):
    return results("06-predict-and-clean-up")


def test_06_the_cheapest_filter_has_the_lowest_cost(predict_page):
    answer = predict_page.solution(1)
    cuts = {row["way"]: row for row in predict_page.evidence("thresholds").data}
    assert answer["costs"] == {
        way: row["missed_spam"] + sum(20 for _ in range(row["false_spam"]))
        for way, row in cuts.items()
    }
    assert all(answer["costs"][answer["best"]] <= cost for cost in answer["costs"].values())


def test_06_what_could_go_is_the_last_column_in_gb(predict_page):
    answer = predict_page.solution(2)
    before = predict_page.evidence("clean-up").data["steps"][1]["stdout"]
    assert set(answer["reclaimable_gb"]) == {"Images", "Containers", "Local Volumes", "Build Cache"}
    for line in before.splitlines()[1:]:
        name = next(n for n in answer["reclaimable_gb"] if line.startswith(n))
        last = line.split("(")[0].split()[-1]
        size = answer["reclaimable_gb"][name]
        shown = {"GB": f"{size:.4g}GB", "MB": f"{size * 1e3:.4g}MB", "kB": f"{size * 1e6:.4g}kB"}
        assert shown.get(last[-2:], f"{size * 1e9:.4g}B") == last
    assert answer["total_gb"] == pytest.approx(sum(answer["reclaimable_gb"].values()))


def test_06_undoing_the_disguise_brings_recall_back(predict_page):
    found = {row["way"]: row["found"] for row in predict_page.evidence("attacks").data}
    assert predict_page.solution(3)["undone"] == found["as it is"]
    assert found["Cyrillic look-alikes"] < found["as it is"], "or nothing was disguised"


def test_06_quiet_spam_is_new_and_mostly_missed(predict_page):
    answer = predict_page.solution(4)
    rows = predict_page.evidence("exercise-quiet").data
    known = {data.fingerprint(text) for text in data.load().texts}
    assert not known & {data.fingerprint(row["text"]) for row in rows}
    assert answer["of"] == len(rows) == 3
    assert answer["ham"] == [row["label"] for row in rows].count("ham")
    assert answer["ham"] >= 2


def test_06_each_line_gets_an_answer_the_empty_ones_none(predict_page):
    answer = predict_page.solution(5)
    assert len(answer["labels"]) == answer["lines"] == 5
    assert [label is None for label in answer["labels"]] == [False, True, False, True, False]
    unseen = [row["label"] for row in predict_page.evidence("unseen").data[:3]]
    assert answer["labels"][::2] == unseen


# 14


@pytest.fixture
def cluster_page(results):
    return results("14-beyond-one-machine")


def test_14_a_job_that_was_asked_to_stop_computes_no_step_twice(cluster_page):
    answer = cluster_page.solution(1)
    log = cluster_page.evidence("log").data["steps"][1]["stdout"]
    assert f"Resumed after step {answer['resumed']} of" in log
    assert log.count(f"Stopped after step {answer['stopped']} of") == 2, "each process says so"
    assert answer["twice"] == answer["stopped"] - answer["resumed"] == 0


def test_14_more_is_charged_than_computed(cluster_page):
    answer = cluster_page.solution(2)
    rows = cluster_page.evidence("accounting").data["steps"][1]["stdout"].splitlines()[2:]
    jobs = [row.split() for row in rows if "." not in row.split()[0]]
    charged = sum(int(row[4]) * int(row[5]) for row in jobs)  # processors times seconds
    assert answer["charged_seconds"] == charged
    assert answer["share"] == pytest.approx(answer["computed_seconds"] / charged)
    assert 0 < answer["share"] <= 1
    minutes = [row[7].split(":") for row in jobs]
    assert answer["computed_seconds"] == pytest.approx(
        sum(float(m) * 60 + float(s) for m, s in minutes)
    )


def test_14_what_can_never_run_is_refused_at_once(cluster_page):
    answer = cluster_page.solution(3)
    assert answer["exit_code"] != 0
    assert "allocation failure" in answer["says"]


def test_14_each_job_of_an_array_has_its_number(cluster_page):
    assert cluster_page.solution(4) == [0, 1, 2, 3]


def test_solutions_of_docker_measurements_are_live_where_an_engine_is(docker_page):
    here = machine.probe().capabilities["docker"].available
    for name in ("exercise-init", "exercise-memory"):
        assert docker_page.evidence(name).live == here


def test_every_solution_is_judged_by_a_test_of_this_file(results):
    text = (ROOT / "tests" / "notebooks" / "test_exercises.py").read_text(encoding="utf-8")
    for name in NOTEBOOKS:
        tests = re.findall(rf"def test_{name[:2]}_.*?(?=\ndef |\Z)", text, re.DOTALL)
        judged = {int(n) for body in tests for n in re.findall(r"\.solution\((\d)\)", body)}
        assert judged == {item["exercise"] for item in results(name).result["solutions"]}, name
