"""The chooser's answers are those of the doctor's table, for every card and image it offers."""

import json
import re

import pytest

from gpubook.book import sphinx_chooser as chooser
from gpubook.doctor import compat
from gpubook.matmul.peaks import table as peaks

CARDS, IMAGES = chooser.cards(), chooser.images()


def test_every_card_of_the_peaks_and_every_generation_can_be_chosen():
    assert {peak.name for peak in peaks()} <= set(CARDS)
    assert {g.capability for g in compat.table().generations} <= set(CARDS.values())


def test_every_build_that_is_still_made_can_be_chosen_and_no_other():
    asked = {(torch, cuda, w.machine) for cuda, torch, w in IMAGES.values() if w}
    assert ("2.11", "12.8", "x86_64") in asked
    assert ("2.12", "12.8", "x86_64") not in asked  # no longer made
    assert {w for w in compat.table().wheels if w.built_for} == {
        w for _, _, w in IMAGES.values() if w
    }


def test_an_answer_for_each_pair_agrees_with_the_table():
    data = chooser.data()
    for card in CARDS.values():
        for n, (cuda, torch, wheel) in enumerate(IMAGES.values()):
            told = data["answers"][data["pairs"][card][n]]
            fit = compat.fit(card, cuda, wheel=wheel, torch=torch)
            runs = fit.possible and (wheel is None or wheel.runs_on(card))
            assert (told["verdict"] != "Does not run") is runs, (card, cuda, torch)
            assert (told["first"], told["last"]) == (fit.first, fit.last)


def fit(capability, torch, cuda, machine="x86_64"):
    wheel = compat.wheel_of(torch, cuda, machine)
    return compat.fit(capability, cuda, wheel=wheel, torch=torch)


def test_a_volta_card_has_one_driver_branch_for_cuda_13_and_code_in_the_old_build_only():
    volta = fit("7.0", "2.13", "13.0")
    assert (volta.first, volta.last, volta.libraries, volta.code) == (580, 580, False, False)
    assert [wheel.cuda for wheel in volta.instead] == ["12.6"]
    told = chooser.answer("7.0", "13.0", "2.13", compat.wheel_of("2.13", "13.0", "x86_64"))
    assert told["verdict"] == "Does not run"


@pytest.mark.parametrize(
    ("branch", "serves"), [(525, False), (570, True), (580, True), (610, True)]
)
def test_a_driver_must_know_card_and_cuda(branch, serves):
    assert fit("12.0", "2.11", "12.8").driver(branch) is serves


def test_a_driver_that_dropped_the_card_does_not_serve():
    assert fit("6.1", "2.13", "12.6").driver(580)
    assert not fit("6.1", "2.13", "12.6").driver(590)


@pytest.mark.parametrize(("cuda", "runs"), [("11.8", True), ("12.8", True), ("13.0", False)])
@pytest.mark.parametrize("capability", ["5.2", "6.1", "7.0"])
def test_cuda_13_has_no_code_for_cards_before_turing(capability, cuda, runs):
    assert compat.fit(capability, cuda).possible is runs
    assert compat.fit("7.5", cuda).possible


def test_what_the_table_does_not_know_is_said():
    assert compat.fit("3.5", "12.8") is None
    assert chooser.answer("3.5", "12.8", "", None)["verdict"] == "Not known"


def test_the_form_is_hidden_without_its_script_and_its_data_can_be_read():
    text = chooser.markup()
    assert re.match(r"<form [^>]* hidden>", text)
    place = re.search(r'id="gb-chooser-data">(.*?)</script>', text)
    assert json.loads(place[1]) == chooser.data()
