"""Tables against plain Python after random arrivals: new, added to a built date, late, sent again, changed, vanished, deleted, built by
random ranges, killed, compacted.

Gold is published now and then, of whatever silver has by then, and compared with gold built from nothing.

Keys don't know of each other, so each key of a seed is a history of its own. `pytest -m soak` plays more seeds.
"""

import random
from datetime import timedelta

import pytest

from lakehouse_assets.delta import key_filter
from lakehouse_assets.silver import additions, build, look_up, merge, quarantine, stage
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.things import DATES, Shop, entity

SEEDS = {"sail-folder": (8, 9, 20), "sail-minio": (18,), "spark-folder": (6,)}
REMOTE_SEEDS = {"sail-folder": (16,), "spark-folder": (10,)}
"""Of each engine and store a few that have kills, upkeep, dates that are extended, and each of the choices that `play` makes."""
SOAK = range(100, 150)
MODES = pytest.mark.parametrize("mode", ["upsert", "history", "snapshot"])


@pytest.mark.worlds(*SEEDS)
@MODES
def test_whatever_arrives_in_whatever_order_the_table_is_that_of_the_oracle(mode, world, make_lakehouse, monkeypatch):
    extended = sum(play(mode, seed, make_lakehouse, monkeypatch) for seed in SEEDS[world.name])
    assert extended > 0


@pytest.mark.usefixtures("remote")
@pytest.mark.worlds(*REMOTE_SEEDS)
@MODES
def test_on_a_remote_engine_the_table_is_that_of_the_oracle_too(mode, world, make_lakehouse, monkeypatch):
    for seed in REMOTE_SEEDS[world.name]:
        play(mode, seed, make_lakehouse, monkeypatch)


@pytest.mark.soak
@pytest.mark.worlds(*SEEDS)
@pytest.mark.parametrize("seed", SOAK)
@MODES
def test_the_table_is_that_of_the_oracle_for_many_seeds(mode, seed, make_lakehouse, monkeypatch):
    play(mode, seed, make_lakehouse, monkeypatch)


def play(mode, seed, make_lakehouse, monkeypatch) -> int:
    """The history of a seed; to how many built dates files were added."""
    extended = 0
    find = build.with_additions

    def counted(*args, **kwargs):
        nonlocal extended
        result = find(*args, **kwargs)
        extended += len(result.additions)
        return result

    monkeypatch.setattr(build, "with_additions", counted)
    # Dates are large, and have many pieces, from so few on that it happens here.
    monkeypatch.setattr(additions, "FEW_ROWS", 0)
    monkeypatch.setattr(merge, "MOST_SMALL_FILES", 2)
    monkeypatch.setattr(stage, "_MOST_BATCHES", 3)
    monkeypatch.setattr(quarantine, "_MOST_BATCHES", 2)
    chance = random.Random(seed)
    # Mostly far fewer rows than are worthwhile otherwise, so that there is a filter.
    monkeypatch.setattr(key_filter, "WORTHWHILE", chance.choice((1, 50, 250_000)))
    # Some dates are large, so that the staged files are searched for rows of one key.
    monkeypatch.setattr(build, "LARGE_DATE", random.Random(seed + 1).choice((1, 5, 100_000)))
    monkeypatch.setattr(look_up, "FEW_KEYS", random.Random(seed + 2).choice((0, 1_000_000)))
    shop = Shop(make_lakehouse(), entity(mode, split_by="value" if seed % 2 else None), chance)
    for number in range(chance.randint(2, 6)):
        for _ in range(chance.randint(1, 4)):
            shop.arrive()
        first, last = sorted((chance.randrange(5), chance.randrange(5)))
        if chance.random() < 0.35:
            shop.killed_build(DATES[first : last + 1], monkeypatch)
        else:
            shop.build(DATES[first : last + 1])
        if chance.random() < 0.15:
            list(maintain(shop.lakehouse.settings.root, timedelta(days=7)))
        if not shop.unsure:
            shop.check()
        if number % 3 == 0:
            shop.check_gold()
    shop.build(DATES)
    # If a date of a killed step is refused now, it stays as that step left it, which only the step knew.
    if not shop.unsure:
        shop.check()
    shop.check_gold()
    monkeypatch.setattr(build, "with_additions", find)
    return extended
