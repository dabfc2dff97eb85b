"""Notebook 14: a job is stopped in the middle, and ends with one process's scores."""

import re

import pytest

from tests.notebooks.pages import printed

NOTEBOOK = "14-beyond-one-machine"


def test_the_head_of_the_script_is_the_files(page):
    (head,) = printed(page, "script")
    assert "#SBATCH --nodes=2" in head
    assert "#SBATCH --requeue" in head


def test_the_job_ran_on_two_nodes_that_were_there(page):
    (listing,) = printed(page, "nodes")
    there = {line.split()[0] for line in listing.splitlines()[1:]}
    _, submitted, _, _, queue = printed(page, "submit")
    job = submitted.split()[-1]
    (row,) = [line for line in queue.splitlines() if line.split()[0] == job]
    assert "RUNNING" in row
    assert row.split()[-2] == "2"
    prefix, numbers = re.fullmatch(r"(\w+?)\[(.+)\]", row.split()[-1]).groups()
    low, high = re.split("[-,]", numbers)
    assert {f"{prefix}{low}", f"{prefix}{high}"} <= there


def test_the_first_steps_came_after_the_submission(page, capsys):
    begin, _, _, end, _ = printed(page, "submit")
    assert float(end) > float(begin)
    alone = page.evidence("one-machine").data
    assert alone["exit_code"] == 0
    assert 0 < alone["first_step_seconds"] < alone["seconds"]
    more = float(end) - float(begin) - alone["first_step_seconds"]
    with capsys.disabled():  # a figure for whoever reads the log: machines differ
        print(f"\nnotebook 14: {more:+.1f} s to the first steps through Slurm (aim: 15 at most)")


def test_the_requeued_job_waits_and_then_goes_on_in_the_middle_of_an_epoch(page):
    *_, queue = printed(page, "requeue")
    assert re.search(r"PENDING|REQUEUED|COMPLETING", queue)
    log = printed(page, "log")[1]
    first, second = re.split(r"(?m)^(?=\d+ messages, \d+ spam)", log)[1:]
    assert "No checkpoint" in first
    assert "DUE TO JOB REQUEUE" in first
    assert all("2 process(es)" in attempt for attempt in (first, second))
    step, total = map(int, re.search(r"Resumed after step (\d+) of (\d+)", second).groups())
    epochs = int(re.search(r"epoch 1/(\d+)", log)[1])
    assert step % (total // epochs), "between two epochs nothing would be half done"
    ended = [int(n) for n in re.findall(r"(?m)^epoch (\d+)/", log)]
    assert ended == list(range(1, epochs + 1)), "each epoch ends once, whoever began it"
    assert re.search(r"(?m)^test: accuracy", second)


def test_the_accounting_has_both_attempts_of_the_same_job(page):
    rows = [line.split() for line in printed(page, "accounting")[1].splitlines()[2:]]
    job = printed(page, "submit")[1].split()[-1]
    attempts = [row for row in rows if row[0] == job]
    assert [row[2] for row in attempts] == ["REQUEUED", "COMPLETED"]
    for row in attempts:
        nodes, processors, elapsed, charged = map(int, row[3:7])
        assert nodes == 2
        assert charged == processors * elapsed > 0


def test_stopped_and_on_two_nodes_it_predicts_what_one_process_does(page):
    scores = page.evidence("scores").data
    one, two = scores["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert scores["largest_difference"] <= 0.001, "the margin that the page states"
    for key in ("accuracy", "f1", "pr_auc"):
        assert two[key] == pytest.approx(one[key], abs=0.005)
    assert one["pr_auc"] > 0.8, "or there is nothing to compare"
    said = re.search(r"test: accuracy .* PR-AUC ([\d.]+)", printed(page, "log")[1])
    assert float(said[1]) == pytest.approx(two["pr_auc"], abs=1e-4)
