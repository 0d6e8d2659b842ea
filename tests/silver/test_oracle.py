"""Tables against plain Python after random arrivals: new, added to a built date, late, sent again, changed, vanished, deleted, built by
random ranges, killed, compacted.

Gold is published now and then, of whatever silver has by then, and compared with gold built from nothing.

Keys don't know of each other, so each key of an example is a history of its own: that is how many are counted.
"""

import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse_assets.delta import key_filter
from lakehouse_assets.silver import additions, build, look_up, merge, quarantine, stage
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.things import DATES, KEYS, Shop, entity

EXAMPLES = {"sail-folder": 6, "sail-minio": 2, "spark-folder": 1}
REMOTE_EXAMPLES = {"sail-folder": 3, "spark-folder": 1}
MODES = pytest.mark.parametrize("mode", ["upsert", "history", "snapshot"])


@pytest.mark.worlds(*EXAMPLES)
@MODES
def test_whatever_arrives_in_whatever_order_the_table_is_that_of_the_oracle(
    mode, world, make_lakehouse, monkeypatch, record_property
):
    play(mode, EXAMPLES[world.name], make_lakehouse, monkeypatch, record_property)


@pytest.mark.usefixtures("remote")
@pytest.mark.worlds(*REMOTE_EXAMPLES)
@MODES
def test_on_a_remote_engine_the_table_is_that_of_the_oracle_too(mode, world, make_lakehouse, monkeypatch, record_property):
    play(mode, REMOTE_EXAMPLES[world.name], make_lakehouse, monkeypatch, record_property)


def play(mode, examples, make_lakehouse, monkeypatch, record_property):
    histories = extended = 0
    # Dates are large, and have many pieces, from so few on that it happens here.
    monkeypatch.setattr(additions, "FEW_ROWS", 0)
    monkeypatch.setattr(merge, "MOST_SMALL_FILES", 2)
    monkeypatch.setattr(stage, "_MOST_BATCHES", 3)
    monkeypatch.setattr(quarantine, "_MOST_BATCHES", 2)
    find = build.with_additions

    def counted(*args, **kwargs):
        nonlocal extended
        found = find(*args, **kwargs)
        extended += len(found.additions)
        return found

    monkeypatch.setattr(build, "with_additions", counted)

    @given(st.integers(0, 2**32))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def run(seed: int) -> None:
        nonlocal histories
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
        histories += KEYS

    run()
    record_property("histories", histories)
    record_property("extended", extended)
    assert extended or examples < 10
    assert histories == examples * KEYS
