"""Books and tables never part: histories by the dozen, every position of a fault, every order of two writers, and those once found.

`python -m tests.books.test_machine <machine> <seed>` shortens the history of a seed to what is needed for it to go wrong.
"""

import sys
from collections.abc import Iterator

import pytest

from lakehouse_assets.engine.session import Engine
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver import additions
from tests.support import machine
from tests.support.machine import (
    DATES,
    FAULTS,
    MODELS,
    Action,
    GoldMachine,
    GoldStartDateMachine,
    GoldTablesMachine,
    Machine,
    RawMachine,
    RawTablesMachine,
    SilverMachine,
    SilverTablesMachine,
    StartDateMachine,
    StrictMachine,
    play,
    random_history,
    shortened,
    thing,
)
from tests.support.writers import Fault

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture(autouse=True)
def _no_date_is_small(monkeypatch):
    monkeypatch.setattr(additions, "FEW_ROWS", 0)


D1, D2 = DATES
ALL = 1_000
"""So many requests are all that a writer does."""
LENGTH = 20
SEEDS: dict[type[Machine], tuple[int, ...]] = {
    RawMachine: (10, 31, 35),
    RawTablesMachine: (7, 8, 9),
    StartDateMachine: (8, 9),
    SilverMachine: (35, 71, 80),
    SilverTablesMachine: (29, 35),
    StrictMachine: (31, 35),
    GoldMachine: (139,),
    GoldTablesMachine: (10, 11),
    GoldStartDateMachine: (0,),
}
"""The histories of each machine that each run of the tests plays: most of them have once gone wrong."""
SOAK = 300
"""How many histories of each machine a soak plays."""

RAW, SILVER, GOLD = ("build_raw", DATES), ("build_silver", DATES), ("build_gold", MODELS)
NEWER: list[Action] = [("land", D2, "a.csv", [thing(at=3)]), RAW, ("go_on", 0, ALL)]
"""A row arrives that supersedes the one that stands on the date before, and is in raw."""
ADDED: list[Action] = [("land", D2, "c.csv", [thing(at=5), thing("k3"), thing("k3", said="bad")]), RAW, ("go_on", 0, ALL)]
"""A file is added to a date, with a row that supersedes one of the date, and is in raw."""
CHANGED: list[Action] = [*NEWER, ("settle",), ("land", D1, "b.csv", [thing(at=4)]), *ADDED]
"""A file changes, so that its row supersedes in its turn one of the date after; and to that date a file is added."""
CHANGED_BACK: list[Action] = [("land", D1, "b.csv", machine.B), ("remove", D2, "c.csv"), RAW, ("go_on", 0, ALL)]


@pytest.mark.parametrize("kind", SEEDS, ids=lambda kind: kind.__name__)
def test_no_history_of_a_seed_leaves_anything_wrong(kind, engine):
    for seed in SEEDS[kind]:
        play(kind, random_history(kind, seed, LENGTH), engine.session)


@pytest.mark.soak
@pytest.mark.parametrize("kind", SEEDS, ids=lambda kind: kind.__name__)
def test_no_history_of_many_seeds_leaves_anything_wrong(kind, engine):
    for seed in range(SOAK):
        play(kind, random_history(kind, seed, LENGTH), engine.session)


def races(build: Action, between: Action, firsts: range, seconds: range) -> Iterator[list[Action]]:
    """A writer does some requests, something arrives, another writer does some; then the first ends, then the second."""
    for first in firsts:
        for second in seconds:
            yield [build, ("go_on", 0, first), between, build, ("go_on", 1, second), ("go_on", 0, ALL), ("go_on", 1, ALL)]


def test_two_writers_of_a_raw_partition_in_any_order_leave_what_landed():
    for history in races(RAW, ("remove", D1, "b.csv"), range(6), range(1, 7, 2)):
        play(RawMachine, history)


def test_two_writers_of_raw_and_silver_in_any_order_leave_what_landed(engine):
    for steps in range(1, 7, 2):
        between: list[Action] = [RAW, ("go_on", 0, steps), ("remove", D1, "b.csv"), SILVER, ("go_on", 1, ALL), ("go_on", 0, ALL)]
        play(SilverMachine, [("settle",), ("land", D2, "a.csv", [thing()]), *between], engine.session)


def test_two_writers_of_a_date_to_which_files_are_added_leave_what_landed(engine):
    more: list[Action] = [("land", D2, "d.csv", [thing(at=6), thing("k4")]), RAW, ("go_on", 1, ALL)]
    for first in (2, 6):
        for second in (5, ALL):
            writers: list[Action] = [SILVER, ("go_on", 0, first), *more, SILVER, ("go_on", 1, second)]
            play(SilverMachine, [*NEWER, ("settle",), *ADDED, *writers, ("go_on", 0, ALL), ("go_on", 1, ALL)], engine.session)


@pytest.mark.parametrize("first", DATES, ids=["the-older-date-first", "the-newer-date-first"])
def test_two_writers_of_dates_that_share_a_key_leave_what_landed(first, engine):
    second = D2 if first == D1 else D1
    for ahead in (0, 4, 6):
        for steps in (5, ALL):
            writers: list[Action] = [
                ("build_silver", (first,)),
                ("go_on", 0, ahead),
                ("build_silver", (second,)),
                ("go_on", 1, steps),
            ]
            play(SilverMachine, [*NEWER, *writers, ("go_on", 0, ALL), ("go_on", 1, ALL)], engine.session)


def test_two_writers_of_gold_in_any_order_leave_what_landed():
    for history in races(GOLD, ("introduce", D2, (1, 2)), range(0, 7, 3), range(1, 7, 3)):
        play(GoldMachine, [("settle",), ("sell", D2, (2,)), *history])


@pytest.mark.parametrize(
    ("kind", "arrival", "build", "requests", "return_"),
    [
        (RawMachine, [("land", D1, "b.csv", [thing("k2")])], RAW, 6, [("land", D1, "b.csv", machine.B)]),
        (SilverMachine, CHANGED, SILVER, 10, CHANGED_BACK),
        (GoldMachine, [("introduce", D2, (1, 2))], GOLD, 10, [("introduce", D1, (1,))]),
    ],
    ids=["raw", "silver", "gold"],
)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.when}")
@pytest.mark.parametrize("share", [2, pytest.param(1, marks=pytest.mark.soak)])
def test_a_fault_at_any_write_leaves_nothing_wrong(kind, arrival, build, requests, return_, fault, share, engine):
    """After a kill all is again as it was before the arrival, so that the books would be right but for what was written.

    Each write meets half of the faults, and each kind of fault before or after it; in the soak it meets all.
    """
    for write in range(0, requests, 2)[FAULTS.index(fault) % share :: share]:
        history = [("settle",), *arrival, build, ("go_on", 0, write), ("meet_fault", 0, fault, ALL)]
        assert play(kind, [*history, *(return_ if fault.kind == "kill" else [])], engine.session).met == [fault]


@pytest.mark.parametrize(
    ("kind", "table", "arrival", "builds"),
    [
        (RawTablesMachine, ("raw", "shop_things"), ("land", D2, "a.csv", [thing("k2")]), [RAW]),
        (SilverTablesMachine, ("raw", "shop_things"), ("land", D2, "a.csv", [thing("k2")]), [RAW, SILVER]),
        (SilverTablesMachine, ("silver", "shop_things"), ("land", D2, "a.csv", [thing()]), [RAW, SILVER]),
        (GoldTablesMachine, ("gold", "dim_customer"), ("introduce", D2, (1, 2)), [GOLD]),
        (GoldTablesMachine, ("gold", "fact_sales"), ("sell", D2, (1, 2)), [GOLD]),
    ],
    ids=lambda given: "/".join(given) if isinstance(given, tuple) and len(given) == 2 else None,
)
@pytest.mark.parametrize("hand", ["lose", "lose-and-build-another-date", "put_back", "put_back-and-go-on", "restore"])
def test_a_lost_or_replaced_table_is_noticed_and_built_again(kind, table, arrival, builds, hand, engine):
    again: list[Action] = [step for build in builds for step in (build, ("go_on", 0, ALL))]
    histories: dict[str, list[Action]] = {
        "lose": [("lose", table)],
        "lose-and-build-another-date": [("lose", table), (builds[0][0], builds[0][1][1:]), ("go_on", 0, ALL), *again[2:]],
        "put_back": [("put_back", table)],
        # The version that the books know is reached again, by other rows.
        "put_back-and-go-on": [
            ("put_back", table),
            ("change_raw", 2) if kind.layers[0] == "raw" else ("change_model", table[1], 2),
            *again,
        ],
        "restore": [("restore", table, 1)],
    }
    play(kind, [("settle",), ("back_up", table), arrival, ("settle",), *histories[hand]], engine.session)


FOUND: dict[str, tuple[type[Machine], list[Action]]] = {
    "a contract gains a column and a rule that stops a published date": (
        StrictMachine,
        [("land", D1, "b.csv", machine.C), ("land", D2, "a.csv", [thing("k3")]), ("settle",), ("change_silver", 4), ("settle",)],
    ),
    "the older writer of raw writes first, of a file that is gone": (
        RawMachine,
        [
            *[RAW, ("go_until", 0, "before write"), ("remove", D1, "b.csv"), RAW, ("go_until", 1, "before write")],
            *[("go_on", 0, ALL), ("go_on", 1, ALL)],
        ],
    ),
    "the newer writer of raw is overtaken between its commit and its books": (
        RawMachine,
        [RAW, ("go_on", 0, 2), ("remove", D1, "b.csv"), RAW, ("go_on", 1, 4), ("go_on", 0, ALL), ("go_on", 1, ALL)],
    ),
    "a fact is built by hand before its dimension": (
        GoldMachine,
        [("settle",), ("introduce", D2, (1, 2)), ("build_gold", MODELS[1:]), ("go_on", 0, ALL), ("build_gold", MODELS[:1])],
    ),
    "two writers of gold publish the first rows": (
        GoldMachine,
        [GOLD, ("go_on", 0, 2), GOLD, ("go_on", 1, ALL), ("go_on", 0, ALL)],
    ),
    "a silver table is put back, and reaches the version that gold knows by other rows": (
        GoldTablesMachine,
        [
            ("settle",),
            ("back_up", ("silver", "shop_sales")),
            ("sell", D1, (1,)),
            ("settle",),
            ("put_back", ("silver", "shop_sales")),
            ("sell", D1, (2,)),
        ],
    ),
    "the quarantine is put back, and reaches the version that the books know by other rows": (
        RawTablesMachine,
        [
            ("land", D1, "a.csv", machine.D),
            ("settle",),
            ("back_up", ("quarantine", "rows")),
            ("land", D1, "b.csv", machine.D[1:]),
            ("land", D2, "a.csv", machine.D),
            ("settle",),
            ("put_back", ("quarantine", "rows")),
            ("land", D2, "a.csv", machine.D[1:]),
            ("build_raw", (D2,)),
            ("go_on", 0, ALL),
        ],
    ),
    "the first date moves on while gold stands": (
        GoldStartDateMachine,
        [("settle",), ("sell", D2, (1,)), ("settle",), ("move_start", D2), ("sell", D1, (1,)), ("settle",)],
    ),
    "upkeep makes one file of two": (
        RawMachine,
        [("settle",), ("land", D1, "c.csv", [thing("k2")]), ("settle",), ("maintain", 168)],
    ),
    "the reply to silver's commit is lost, and the retry meets a conflict": (
        SilverMachine,
        [RAW, ("go_on", 0, ALL), SILVER, ("go_on", 0, 4), ("meet_fault", 0, Fault("after", "conflict"), ALL)],
    ),
    "a dimension without a row is read by a fact that is built alone": (
        GoldMachine,
        [("introduce", D1, ()), ("settle",), ("sell", D2, (1,))],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_right(name, engine):
    kind, history = FOUND[name]
    play(kind, history, engine.session)


def main() -> None:
    """Print the shortened history of a seed."""
    kind, seed = getattr(machine, sys.argv[1]), int(sys.argv[2])
    session = Engine(Settings(lakehouse_engine="sail").engine_config).session
    for action in shortened(kind, random_history(kind, seed, LENGTH), session):
        sys.stdout.write(f"{action}\n")


if __name__ == "__main__":
    main()
