"""The table of drivers, CUDA and GPUs: whole, sourced, and asked in the ways the doctor asks."""

import pytest

from gpubook.doctor import compat
from gpubook.machine.host import numbers
from gpubook.matmul.peaks import table as peaks


def test_every_row_names_its_source():
    rows = compat.table()
    sources = [row.source for row in (*rows.cuda, *rows.generations, *rows.wheels)]
    assert all(source.startswith("https://") for source in sources)


def test_generations_follow_one_another_and_cover_every_gpu_of_the_peaks():
    order = [numbers(row.capability) for row in compat.table().generations]
    assert order == sorted(order)
    assert all(compat.generation_of(peak.capability) for peak in peaks())


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("6.1", "Pascal"),
        ("8.6", "Ampere"),
        ("8.9", "Ada"),
        ("9.0", "Hopper"),
        ("12.0", "Blackwell"),
    ],
)
def test_a_generation_by_its_capability(capability, name):
    assert compat.generation_of(capability).name == name


def test_a_gpu_before_the_table_has_no_generation():
    assert compat.generation_of("3.7") is None


@pytest.mark.parametrize(("cuda", "driver"), [("11.8", 450), ("12.8", 525), ("13.2", 580)])
def test_the_driver_that_a_cuda_needs(cuda, driver):
    assert compat.driver_for(cuda) == driver
    assert compat.driver_for("99.1") is None


@pytest.mark.parametrize(
    ("torch", "cuda", "capability", "runs"),
    [
        ("2.9.1", "12.8", "7.0", True),
        ("2.11.0", "12.8", "7.0", False),
        ("2.13.0", "12.6", "6.1", True),  # code for 6.0 serves 6.1
        ("2.13.0", "12.6", "12.0", False),
        ("2.13.0", "13.0", "8.9", True),
        ("2.13.0", "13.0", "12.1", True),
        ("2.13.0", "13.0", "7.0", False),
        ("2.13.0", "13.0", "11.0", False),
    ],
)
def test_a_wheel_runs_where_it_has_code_of_the_same_major_version(torch, cuda, capability, runs):
    assert compat.wheel_of(torch, cuda, "x86_64").runs_on(capability) is runs


def test_a_wheel_that_is_no_longer_made_is_none():
    assert compat.wheel_of("2.12.0", "12.8", "x86_64") is None
    assert compat.wheel_of("2.15.0", "12.6", "x86_64") is None
    assert compat.wheel_of("2.14.0", "12.6", "x86_64") is not None


def test_the_builds_for_a_card_are_those_of_its_driver_and_machine():
    def builds(*asked):
        return [wheel.cuda for wheel in compat.wheels_for(*asked)]

    assert builds("9.0", "580.95.05", "x86_64", "2.13.0") == ["13.2", "13.0", "12.6"]
    assert builds("9.0", "570.133.20", "x86_64", "2.13.0") == ["12.6"]
    assert builds("7.0", "580.95.05", "x86_64", "2.13.0") == ["12.6"]
    assert builds("12.0", "570.133.20", "x86_64", "2.13.0") == []
    assert builds("12.0", "570.133.20", "x86_64", "2.11.0") == ["12.8"]
    assert builds("7.5", "580.95.05", "aarch64", "2.13.0") == []


def test_the_index_of_a_build():
    wheel = compat.wheel_of("2.13.0", "13.0", "x86_64")
    assert compat.index_of(wheel) == "https://download.pytorch.org/whl/cu130"
