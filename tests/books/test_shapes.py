"""Tables of each shape under two writers and faults: whoever stops where, once all is settled they are those of the oracle."""

from itertools import product as product_of

import pytest

from lakehouse_assets.contracts.system import SilverTable
from tests.support.group import (
    CHANGES_FEED,
    DATES,
    DOCS_FEED,
    ITEMS,
    ORDERS,
    ORDERS_FEED,
    PRICES,
    PRICES_FEED,
    PRODUCTS,
    PRODUCTS_FEED,
    Group,
)
from tests.support.writers import Fault, Writer, stopping_writers

pytestmark = pytest.mark.worlds("sail-folder")

ALL = 1_000
D1, D2, D3 = DATES[:3]
ONE, TWO, BOTH = (D1,), (D2,), (D1, D2)


def order(key: str, at: int = 1, said: str = "x", op: str = "u") -> dict[str, object]:
    return {"id": key, "at": at, "said": said, "op": op}


def doc(key: str, *said: str, at: int = 1) -> dict[str, object]:
    return {"id": key, "at": at, "items": [{"line": line, "said": value} for line, value in enumerate(said)]}


def product(*keys: str, at: object = 1, said: str = "x") -> list[dict[str, object]]:
    return [{"id": key, "at": at, "said": said} for key in keys]


def begin(group: Group) -> None:
    """What stands before: orders of both feeds, items of which one waits, two deliveries of products and prices."""
    group.land(ORDERS_FEED, D1, "a", [order("k0"), order("k1")])
    group.land(CHANGES_FEED, D2, "a", [order("k0", 2, "y"), order("k2")])
    group.land(DOCS_FEED, D1, "a", [doc("k0", "x", "y"), doc("k3", "x")])
    group.land(DOCS_FEED, D2, "a", [doc("k1", "x", at=2)])
    group.land(PRODUCTS_FEED, D1, "a", product("k0", "k1", "k2"))
    group.land(PRICES_FEED, D1, "a", product("k0", "k1", "k2", at=None))
    group.settle()


def arrive(group: Group, table: SilverTable) -> None:
    """What changes rows of other dates, in raw already: rows that supersede, a partner that comes and one that goes, missing keys."""
    if table in (ORDERS, ITEMS):
        group.land(CHANGES_FEED, D1, "b", [order("k3"), order("k1", 9, op="d")])
        group.land(ORDERS_FEED, D2, "b", [order("k0", 5, "z")])
        group.land(DOCS_FEED, D2, "b", [doc("k3", "y", "z", at=3), doc("k0", "bad", "z", at=4)])
    feed = {PRODUCTS.name: PRODUCTS_FEED, PRICES.name: PRICES_FEED}.get(table.name)
    if feed is not None:
        group.land(feed, D2, "a", product("k0", "k2", at=None if table is PRICES else 2, said="y"))
        group.land(feed, D3, "a", product("k1", "k2", at=None if table is PRICES else 0, said="z"))
    for each in (*ORDERS.feeds, *ITEMS.feeds, *PRODUCTS.feeds, *PRICES.feeds):
        group.build_raw(each, DATES)


def building(group: Group, table: SilverTable, *dates: object) -> Writer:
    return Writer(lambda: group.build_silver(table, dates or DATES))


def settle(group: Group, *writers: Writer) -> None:
    for writer in writers:
        writer.finish()
        assert writer.error is None or writer.met, writer.error
    group.settle()
    group.check()


FAULTS = [Fault("before", "kill"), Fault("after", "kill"), Fault("after", "conflict"), Fault("after", "store")]


@pytest.mark.parametrize("table", [ORDERS, ITEMS, PRODUCTS, PRICES], ids=lambda t: t.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind}-{f.when}")
def test_a_fault_at_a_write_leaves_nothing_wrong(table, fault, tmp_path, engine):
    a_fault_at_writes(table, fault, [2 * FAULTS.index(fault) + 1], tmp_path, engine)


@pytest.mark.soak
@pytest.mark.parametrize("table", [ORDERS, ITEMS, PRODUCTS, PRICES], ids=lambda t: t.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind}-{f.when}")
def test_a_fault_at_any_write_leaves_nothing_wrong(table, fault, tmp_path, engine):
    a_fault_at_writes(table, fault, range(14), tmp_path, engine)


def a_fault_at_writes(table, fault, writes, tmp_path, engine):
    met = []
    for write in writes:
        with stopping_writers():
            group = Group(tmp_path / f"{write}", engine.session)
            begin(group)
            arrive(group, table)
            writer = building(group, table).go(write)
            writer.fault = fault
            settle(group, writer)
            met += writer.met
    assert met


PAIRS = [
    (ORDERS, ONE, ORDERS, TWO),
    (ITEMS, BOTH, ORDERS, BOTH),
    (ORDERS, BOTH, ITEMS, BOTH),
    (PRODUCTS, TWO, PRODUCTS, (D3,)),
    (PRICES, (D3,), PRICES, TWO),
]


@pytest.mark.parametrize(
    ("one", "its_dates", "other", "other_dates"), PAIRS, ids=[f"{one.name}-{other.name}" for one, _, other, _ in PAIRS]
)
def test_two_writers_leave_what_landed(one, its_dates, other, other_dates, tmp_path, engine):
    two_writers(one, its_dates, other, other_dates, [(4, ALL), (8, 6)], tmp_path, engine)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("one", "its_dates", "other", "other_dates"), PAIRS, ids=[f"{one.name}-{other.name}" for one, _, other, _ in PAIRS]
)
def test_two_writers_in_any_order_leave_what_landed(one, its_dates, other, other_dates, tmp_path, engine):
    orders = list(product_of(range(12), (2, 4, 6, 8, 10, ALL)))
    two_writers(one, its_dates, other, other_dates, orders, tmp_path, engine)


def two_writers(one, its_dates, other, other_dates, orders, tmp_path, engine):
    for ahead, steps in orders:
        with stopping_writers():
            group = Group(tmp_path / f"{ahead}-{steps}", engine.session)
            begin(group)
            arrive(group, one)
            first = building(group, one, *its_dates).go(ahead)
            second = building(group, other, *other_dates).go(steps)
            settle(group, first, second)


def test_an_order_that_comes_while_its_items_are_judged_brings_them_in(tmp_path, engine):
    """The partner commits between the reading of the partners and the commit of the items."""
    with stopping_writers():
        group = Group(tmp_path, engine.session)
        begin(group)
        arrive(group, ITEMS)
        items = building(group, ITEMS).go_until("before commit")
        group.build_silver(ORDERS, DATES)
        items.finish()
        assert any(name == ITEMS.name for _, name, _ in group.to_build())
        settle(group)
        assert not group.to_build()
