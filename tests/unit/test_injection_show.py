"""Notebook 03's tables and figure, of the captured containers: nothing left out, nothing added."""

from __future__ import annotations

from types import SimpleNamespace

from gpubook import injection
from gpubook.injection import show
from gpubook.injection.classes import CLASSES
from tests.conftest import ROOT

FOLDERS = {"plain": "no-gpu", "device": "engine-cdi", "runtime": "jit-cdi", "gpus": "legacy"}
COMMANDS = {way: injection.WAYS[way][0] for way in FOLDERS}
CAPTURES = ROOT / "recordings/h100/captures"
SEEN = {COMMANDS[w]: injection.from_capture(CAPTURES / folder) for w, folder in FOLDERS.items()}
ITEMS = {command: injection.classify(seen) for command, seen in SEEN.items()}
PLAIN, DEVICE, RUNTIME, GPUS = SEEN
NAMES = {command: show.option(command) for command in (DEVICE, RUNTIME, GPUS)}


def rows(shown):
    """The lines of a table below its caption and head."""
    return repr(shown).splitlines()[3:]


def head(shown):
    return repr(shown).splitlines()[1].split()


def asked(command, *, stub):
    return SimpleNamespace(data={"command": command}, provenance={"stub": stub})


def test_a_request_has_its_option_as_its_short_name():
    assert list(NAMES.values()) == ["--device", "--runtime", "--gpus"]


def test_a_stub_driver_is_named_wherever_its_request_is():
    assert show.request(asked(DEVICE, stub=False)) == DEVICE
    marked = show.request(asked(DEVICE, stub=True))
    assert marked == f"{DEVICE} (stub driver)"
    assert show.option(marked) == "--device (stub driver)"


def test_the_totals_are_of_all_containers_the_control_among_them():
    told = rows(show.totals(ITEMS, caption="T"))
    assert [int(line.split()[-3]) for line in told] == [len(items) for items in ITEMS.values()]
    assert [line.split()[-2] for line in told] == ["0", "150", "150", "42"]
    assert {line.split()[-1] for line in told} == {"0"}


def test_each_class_that_came_has_a_row_and_no_other():
    counts = {command: injection.counts(items) for command, items in ITEMS.items()}
    shown = show.by_class(counts, NAMES, caption="C")
    titles = {CLASSES[id_].title for found in counts.values() for id_ in found}
    assert head(shown) == ["Class", "--device", "--runtime", "--gpus", "Purpose"]
    assert {line.split("  ")[0] for line in rows(shown)} == titles
    libraries = next(line for line in rows(shown) if line.startswith("driver libraries"))
    assert libraries.split()[2:5] == ["26", "26", "10"]


def test_the_lines_of_a_container_are_its_files_and_nodes_with_their_purpose():
    told = injection.lines(ITEMS[GPUS])
    shown = rows(show.lines(told, caption="L"))
    assert [line.split()[0] for line in shown] == [row["name"] for row in told]
    assert all(row["purpose"] in line for row, line in zip(told, shown, strict=True))


def test_what_landed_is_listed_for_each_request_and_adds_up():
    found = {command: injection.landing(items) for command, items in ITEMS.items()}
    shown = rows(show.landings(found, NAMES, caption="W"))
    for command, name in NAMES.items():
        numbers = [int(line.split()[-1]) for line in shown if line.startswith(f"{name} ")]
        assert sum(numbers) == len(injection.lines(ITEMS[command]))


def test_traces_show_the_first_of_each_kind_and_no_kind_that_is_not_there():
    kinds = ("env", "ld-config", "link")
    found = {kind: injection.lines(ITEMS[GPUS], (kind,)) for kind in kinds}
    assert found["ld-config"] == []
    shown = rows(show.traces(found, caption="B"))
    assert [line.split()[:2] for line in shown] == [["env", "1"], ["link", "9"]]
    assert found["link"][0]["target"] in shown[1]


def test_decisions_are_shown_with_their_meaning_and_with_every_reason():
    decisions = {c: injection.decide(seen, ITEMS[c]) for c, seen in SEEN.items()}
    shown = rows(show.decisions(decisions, caption="D"))
    for line, decision in zip(shown, decisions.values(), strict=True):
        assert f"  {decision.path}  " in line
        assert line.endswith(decision.meaning)
    reasons = [reason for command in NAMES for reason in decisions[command].reasons]
    shown = rows(show.reasons(decisions, NAMES, caption="R"))
    assert len(shown) == len(reasons)
    for line, reason in zip(shown, reasons, strict=True):
        assert reason.seen in line
        assert line.endswith(reason.where)


def test_differences_count_both_sides_in_the_order_of_the_pair():
    injected = {command: injection.injected(items) for command, items in ITEMS.items()}
    pair = (DEVICE, GPUS)
    found = {pair: injection.difference(*(injected[command] for command in pair))}
    (told,) = rows(show.differences(found, NAMES, caption="D"))
    name, first, both, second = told.rsplit(maxsplit=3)
    assert name == "--device and --gpus"
    assert int(first) + int(both) == len(injected[DEVICE])
    assert int(both) + int(second) == len(injected[GPUS])


def test_the_bars_of_a_container_stand_end_to_end_and_leave_nothing_out():
    found = {name: injection.capabilities(ITEMS[command]) for command, name in NAMES.items()}
    (axes,) = show.capabilities(found).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(show.CAPABILITIES)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found)
    for place, counts in enumerate(found.values()):
        bars = [bars.patches[place] for bars in axes.containers]
        starts = [bar.get_x() for bar in bars]
        ends = [bar.get_x() + bar.get_width() for bar in bars]
        assert starts == [0, *ends[:-1]]
        assert ends[-1] == sum(counts.values())
    assert axes.yaxis_inverted()


def test_a_capability_that_no_capture_has_is_drawn_too():
    (axes,) = show.capabilities({"--device": {"compute": 3, "ngx": 2}}).axes
    assert axes.containers[-1].get_label() == "ngx"
    assert axes.containers[-1].patches[0].get_width() == 2


def test_edits_and_findings_are_shown_line_by_line():
    spec = injection.parse_spec((CAPTURES / "cdi-nvidia.yaml").read_text(encoding="utf-8"))
    explained = injection.explain(spec.edits("all"))
    shown = rows(show.edits(explained, caption="E"))
    assert all(line.what in text for line, text in zip(explained, shown, strict=True))
    lamp = (
        "cdiVersion: 0.5.0\nkind: example.com/lamp\ndevices: [{name: red, containerEdits: {mounts: "
    )
    lamp += "[{hostPath: /etc, containerPath: /lamp, options: [ro]}]}}]"
    found = injection.review(injection.parse_spec(lamp).edits("red"))
    (told,) = rows(show.findings(found, caption="F"))
    assert told.split("  ") == ["mount /lamp", "shows /etc of the host", "gives it away"]
