"""Which volume a seat gets: the newest of its image, and the one used before as ``earlier``."""

import pytest

HUB_MODULE = "books"
A, B = "0123456789ab", "ba9876543210"


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
def test_a_seats_books(hub_module, volumes, image, expected):
    created = {name: f"2026-11-25T04:{minute:02}:00Z" for minute, name in enumerate(volumes)}
    assert hub_module.choose(created, "hub-ada", image) == expected


def test_the_newest_is_by_time_not_by_name(hub_module):
    names = [f"hub-ada-book-{A}-{number}" for number in range(1, 12)]
    created = {name: f"2026-11-25T04:{minute:02}:00Z" for minute, name in enumerate(names)}
    assert hub_module.choose(created, "hub-ada", A) == (names[-1], names[-2])
