"""Each shape of a silver table after random arrivals, against plain Python: two feeds, items, rows that wait, complete deliveries."""

import random
from pathlib import Path

import pytest

from lakehouse_assets.engine.session import Engine
from tests.support.group import CATALOG, DATES, FILES, TABLES, Group, random_rows

pytestmark = pytest.mark.worlds("sail-folder")


def arrive(group: Group, chance: random.Random) -> None:
    """A file comes, comes again, or goes."""
    feed, day, name = chance.choice(CATALOG.feeds), chance.choice(DATES), chance.choice(FILES)
    if chance.random() < 0.2:
        group.remove(feed, day, name)
    else:
        group.land(feed, day, name, random_rows(chance, feed))


@pytest.mark.parametrize("seed", [0, 1, 2, 10, 11])
def test_whatever_arrives_in_whatever_order_the_tables_are_those_of_the_oracle(seed, tmp_path, engine):
    play(seed, tmp_path, engine)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(400))
def test_whatever_arrives_by_many_seeds_the_tables_are_those_of_the_oracle(seed, tmp_path, engine):
    play(seed, tmp_path, engine)


def play(seed: int, tmp_path: Path, engine: Engine) -> None:
    """Files come and go, random ranges are built; after each settling, the tables are held against the oracle."""
    chance = random.Random(seed)
    group = Group(tmp_path / "root", engine.session)
    for _ in range(3):
        for _ in range(chance.randint(2, 8)):
            arrive(group, chance)
        for table in chance.sample(TABLES, 2):
            first, last = sorted((chance.randrange(5), chance.randrange(5)))
            group.build(table, DATES[first : last + 1])
        group.settle()
        group.check()
        for name, day in sorted(group.held()):
            if chance.random() < 0.5:
                group.accept(next(feed for feed in CATALOG.feeds if feed.table == name), day)
    group.settle()
    group.check()
