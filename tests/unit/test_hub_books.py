"""Which volume a seat gets: the newest of its image, and the one used before as ``earlier``."""

from __future__ import annotations

import importlib.util

import pytest

from tests.conftest import ROOT

A, B = "0123456789ab", "ba9876543210"


@pytest.fixture(scope="module")
def books():
    path = ROOT / "docker" / "jupyterhub" / "books.py"
    spec = importlib.util.spec_from_file_location("books", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("volumes", "image", "expected"),
    [
        ([], A, (f"hub-ada-book-{A}-1", None)),
        ([f"hub-ada-book-{A}-1"], A, (f"hub-ada-book-{A}-1", None)),
        ([f"hub-ada-book-{A}-1"], B, (f"hub-ada-book-{B}-1", f"hub-ada-book-{A}-1")),
        (
            [f"hub-ada-book-{A}-1", f"hub-ada-book-{A}-2", f"hub-ada-book-{B}-1"],
            B,
            (f"hub-ada-book-{B}-1", f"hub-ada-book-{A}-2"),
        ),
        (["hub-ada-book"], A, (f"hub-ada-book-{A}-1", "hub-ada-book")),
        # Others' volumes: a learner called ada-book, one called adam, the own files.
        (
            [
                "hub-ada-work",
                f"hub-ada-book-book-{A}-1",
                "hub-ada-book-work",
                f"hub-adam-book-{A}-1",
            ],
            A,
            (f"hub-ada-book-{A}-1", None),
        ),
    ],
)
def test_a_seats_books(books, volumes, image, expected):
    created = {name: f"2026-11-25T04:{minute:02}:00Z" for minute, name in enumerate(volumes)}
    assert books.choose(created, "hub-ada", image) == expected


def test_the_newest_is_by_time_not_by_name(books):
    names = [f"hub-ada-book-{A}-{number}" for number in range(1, 12)]
    created = {name: f"2026-11-25T04:{minute:02}:00Z" for minute, name in enumerate(names)}
    assert books.choose(created, "hub-ada", A) == (names[-1], names[-2])
