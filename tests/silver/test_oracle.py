"""Tables against plain Python after random arrivals: new, late, sent again, changed, vanished, deleted, built by random ranges, killed.

Gold is published now and then, of whatever silver has by then, and compared with gold built from nothing.

Keys don't know of each other, so each key of an example is a history of its own: that is how many are counted.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.things import DATES, KEYS, Shop, entity

EXAMPLES = {"sail-folder": 14, "sail-minio": 2, "spark-folder": 1}


@pytest.mark.worlds(*EXAMPLES)
@pytest.mark.parametrize("mode", ["upsert", "history"])
def test_whatever_arrives_in_whatever_order_the_table_is_that_of_the_oracle(
    mode, world, make_lakehouse, monkeypatch, record_property
):
    histories = 0

    @given(st.integers(0, 2**32))
    @settings(
        max_examples=EXAMPLES[world.name],
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def run(seed: int) -> None:
        nonlocal histories
        chance = random.Random(seed)
        shop = Shop(make_lakehouse(), entity(mode), chance)
        for number in range(chance.randint(2, 6)):
            for _ in range(chance.randint(1, 4)):
                shop.arrive()
            first, last = sorted((chance.randrange(5), chance.randrange(5)))
            if chance.random() < 0.35:
                shop.killed_build(DATES[first : last + 1], monkeypatch)
            else:
                shop.build(DATES[first : last + 1])
            if not shop.unsure:
                shop.check()
            if number % 3 == 0:
                shop.check_gold()
        shop.build(DATES)
        shop.check()
        shop.check_gold()
        histories += KEYS

    run()
    record_property("histories", histories)
    assert histories == EXAMPLES[world.name] * KEYS
