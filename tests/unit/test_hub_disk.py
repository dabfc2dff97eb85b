"""Whose seat is ended for its disk: who has too much and still writes, and nobody else."""

import pytest

HUB_MODULE = "disk"


def volume(name, size):
    return {"Name": name, "UsageData": {"Size": size}}


def test_a_learners_volumes_are_added_up_and_nobody_elses(hub_module):
    volumes = [
        volume("hub-ada-work", 1), volume("hub-ada-book-0123456789ab-1", 2),
        volume("hub-ada-book-0123456789ab-2", 4), volume("hub-ada-book", 8),
        volume("hub-ada-book-work", 16), volume("hub-adam-work", 32), volume("other-ada-work", 64),
        volume("hub-grace-work", -1),  # what the engine says of a size that it does not know
    ]  # fmt: skip
    people = ["ada", "ada-book", "grace"]
    assert hub_module.sizes(volumes, "hub", people) == {"ada": 15, "ada-book": 16, "grace": 0}


@pytest.mark.parametrize(
    ("sizes", "ended"),
    [
        ([90, 100, 109], 0),  # a bit more than the limit of 100 is no reason
        ([90, 111], 1),
        ([90, 111, 130, 130, 130], 1),  # ended; what it wrote until then counts as there
        ([130, 130, 139], 0),  # the first look at somebody who had too much before
        ([130, 120, 131], 1),  # deleted some, and wrote again
        ([130, 90, 111], 1),  # deleted enough: the limit holds again
    ],
)
def test_who_has_too_much_and_still_writes_is_ended_once(hub_module, monkeypatch, sizes, ended):
    monkeypatch.setattr(hub_module, "SLACK", 10)
    levels, count = {}, 0
    for size in sizes:
        now = {"ada": size, "grace": 3}
        levels = hub_module.levels_of(now, levels, 100)
        for name in hub_module.outgrown(now, levels):
            assert name == "ada"
            del levels[name]
            count += 1
    assert count == ended
