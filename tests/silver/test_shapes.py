"""Each shape of a silver table after random arrivals, against plain Python: two feeds, items, rows that wait, complete deliveries."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.feeds import Complete, SourceColumn
from lakehouse_assets.delta.tables import replace_table
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import LandingError
from lakehouse_assets.reconcile.plan import make_plan, make_silver_plan
from lakehouse_assets.serving.query import query
from lakehouse_assets.silver import additions
from lakehouse_assets.silver.deliveries import accept_delivery, held_deliveries
from tests.support.declare import one_feed, with_feed
from tests.support.group import (
    BROKEN,
    CATALOG,
    CHANGES_FEED,
    DATES,
    DOCS_FEED,
    FILES,
    ORDERS_FEED,
    PRICES_FEED,
    PRODUCTS_FEED,
    TABLES,
    Group,
    random_rows,
)

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture(autouse=True)
def _no_date_is_small(monkeypatch):
    monkeypatch.setattr(additions, "FEW_ROWS", 0)


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


@pytest.mark.usefixtures("remote")
@pytest.mark.worlds("sail-folder", "spark-folder")
@pytest.mark.parametrize("seed", [2])
def test_on_a_remote_engine_the_tables_are_those_of_the_oracle_too(seed, tmp_path, engine):
    play(seed, tmp_path, engine)


@pytest.mark.worlds("spark-folder")
@pytest.mark.parametrize("seed", [2])
def test_on_spark_the_tables_are_those_of_the_oracle_too(seed, tmp_path, engine):
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


D1, D2, D3 = DATES[:3]


def order(key: str, at: int = 1, op: str = "u") -> dict[str, object]:
    return {"id": key, "at": at, "said": "x", "op": op}


def doc(key: str, *said: str, at: int = 1) -> dict[str, object]:
    return {"id": key, "at": at, "items": [{"line": line, "said": value} for line, value in enumerate(said)]}


def settled(group: Group) -> Group:
    group.settle()
    group.check()
    return group


def waiting(group: Group) -> list[tuple[object, ...]]:
    columns = "date, row_number, item_number, rule, reason, payload"
    sql = f"SELECT {columns} FROM quarantine.rows WHERE table_name = 'shop_items' ORDER BY ALL"
    return query(group.settings.root, sql).fetchall()


@pytest.fixture
def group(tmp_path, engine):
    return Group(tmp_path / "root", engine.session)


def test_a_row_that_waits_says_so_comes_in_with_its_partner_and_goes_back_without_it(group):
    group.land(DOCS_FEED, D1, "a", [doc("k0", "x", "y")])
    settled(group)
    [one, two] = waiting(group)
    assert (one[1:4], two[1:4]) == ((1, 1, "order_id_in_shop_orders"), (1, 2, "order_id_in_shop_orders"))
    assert str(one[4]).startswith("Waits for its partner: Each order_id is in shop_orders.thing_id.")
    assert json.loads(str(two[5]))["items"] == '{"line":1,"said":"y"}'
    group.land(ORDERS_FEED, D2, "a", [order("k0")])
    settled(group)
    assert waiting(group) == []
    group.land(CHANGES_FEED, D3, "a", [order("k0", 2, "d")])
    settled(group)
    assert len(waiting(group)) == 2


def test_a_row_waits_on_although_its_date_is_written_anew_for_another_date(group):
    group.land(ORDERS_FEED, D1, "a", [order("k0")])
    group.land(DOCS_FEED, D1, "a", [doc("k0", "x"), doc("k1", "x")])
    settled(group)
    group.land(DOCS_FEED, D2, "a", [doc("k0", "y", at=2), doc("k2", "y")])
    settled(group)
    assert [row[0] for row in waiting(group)] == [D1, D2]
    group.land(ORDERS_FEED, D2, "a", [order("k1"), order("k2")])
    settled(group)
    assert waiting(group) == []


def test_a_waiting_row_supersedes_nobody_and_competes_as_if_it_had_never_waited(group):
    group.land(DOCS_FEED, D2, "a", [doc("k0", "new", at=2)])
    settled(group)
    group.land(DOCS_FEED, D1, "a", [doc("k0", "old", at=1)])
    group.land(ORDERS_FEED, D3, "a", [order("k0")])
    settled(group)
    assert query(group.settings.root, "SELECT value FROM silver.shop_items").fetchall() == [("new",)]


def test_what_is_no_list_goes_to_quarantine_and_an_order_without_items_makes_none(group):
    rows = [{"id": "k0", "at": 1, "items": items} for items in ([], None, "oops", {"line": 1}, [{"line": 1, "said": "x"}])]
    group.land(ORDERS_FEED, D1, "a", [order("k0")])
    group.land(DOCS_FEED, D1, "a", rows)
    settled(group)
    assert [(number, item, rule) for _, number, item, rule, *_ in waiting(group)] == [
        (3, 0, "items_is_a_list"),
        (4, 0, "items_is_a_list"),
    ]
    record = Ledger(group.settings.root).read("silver", "shop_items")["silver", "shop_items", D1]
    assert (record.rows_in, record.rows_out, record.rows_quarantined) == (3, 1, 2)


def test_gold_sees_that_a_row_comes_in_although_its_own_files_are_the_same(group):
    group.land(DOCS_FEED, D1, "a", [doc("k0", "x")])
    settled(group)
    before = Ledger(group.settings.root).read("silver", "shop_items")["silver", "shop_items", D1].fingerprint
    group.land(ORDERS_FEED, D2, "a", [order("k0")])
    settled(group)
    assert Ledger(group.settings.root).read("silver", "shop_items")["silver", "shop_items", D1].fingerprint != before


def test_a_delivery_that_shrinks_too_far_is_held_back_until_it_is_accepted(group):
    rows = [{"id": f"k{n}", "at": 1, "said": "x"} for n in range(4)]
    group.land(PRODUCTS_FEED, D1, "a", rows)
    group.land(PRODUCTS_FEED, D2, "a", rows[:1])
    settled(group)
    products = "SELECT thing_id FROM silver.shop_products ORDER BY 1"
    assert len(query(group.settings.root, products).fetchall()) == 4
    [held] = held_deliveries(group.settings.root, CATALOG.feeds)
    assert "it has 1 rows, fewer than 0.5 times the 4 before" in held.sentence
    assert f"lakehouse accept shop/products --date {D2}" in held.sentence
    with pytest.raises(LandingError, match=f"no delivery of {D3} is held back; those of {D2} are"):
        accept_delivery(group.settings.root, PRODUCTS_FEED, D3)
    group.accept(PRODUCTS_FEED, D2)
    settled(group)
    assert query(group.settings.root, products).fetchall() == [("k0",)]
    group.land(PRODUCTS_FEED, D2, "a", rows[1:2])  # another delivery, which nobody has accepted
    settled(group)
    assert len(query(group.settings.root, products).fetchall()) == 4


def test_a_delivery_with_a_row_that_can_not_be_read_deletes_nothing(group):
    rows = [{"id": f"k{n}", "at": 1, "said": "x"} for n in range(4)]
    group.land(PRODUCTS_FEED, D1, "a", rows)
    group.land(PRODUCTS_FEED, D2, "a", [*rows[:2], {**rows[2], BROKEN: "x"}])
    settled(group)
    assert query(group.settings.root, "SELECT count(*) FROM silver.shop_products").fetchall() == [(4,)]
    with pytest.raises(LandingError, match="can't be accepted as it is"):
        accept_delivery(group.settings.root, PRODUCTS_FEED, D2)


def test_a_key_that_comes_back_holds_from_the_delivery_that_brings_it_back(group):
    for day, keys in ((D1, ("k0", "k1")), (D2, ("k1",)), (D3, ("k0", "k1"))):
        group.land(PRICES_FEED, day, "a", [{"id": key, "at": str(D1), "said": "x"} for key in keys])
    settled(group)
    held = query(group.settings.root, "SELECT valid_from, valid_to FROM silver.shop_prices WHERE thing_id = 'k0' ORDER BY 1")
    assert held.fetchall() == [(D1, D2), (D3, None)]


def test_rows_that_only_feed_or_item_tells_apart_have_one_winner(group):
    group.land(ORDERS_FEED, D1, "a", [order("k0"), order("k1")])
    group.land(CHANGES_FEED, D1, "a", [order("k2"), {**order("k0"), "said": "y"}])  # row 2 in both files
    group.land(DOCS_FEED, D1, "a", [{"id": "k0", "at": 1, "items": [{"line": 1, "said": said} for said in "xzy"]}])
    settled(group)
    rows = query(group.settings.root, "SELECT _source_feed, value FROM silver.shop_orders WHERE thing_id = 'k0'").fetchall()
    assert rows == [("shop_orders", "x")]
    assert query(group.settings.root, "SELECT _item_number, value FROM silver.shop_items").fetchall() == [(3, "y")]


def test_a_table_of_an_older_layout_is_built_again_by_itself_with_the_same_rows(group):
    """Before rows had a feed and an item number, other fingerprints stood in the ledger."""
    group.land(ORDERS_FEED, D1, "a", [order("k0"), order("k1")])
    group.land(CHANGES_FEED, D2, "a", [order("k0", 2)])
    settled(group)
    root, uri = group.settings.root, group.settings.root.table("silver", "shop_orders")
    older = DeltaTable(uri).to_pyarrow_table().drop_columns(["_source_feed", "_item_number"])
    replace_table(DeltaTable(uri), uri, older, key="older", run_id="older")
    records = Ledger(root).read("silver", "shop_orders").values()
    older_records = [replace(record, fingerprint="of an older release") for record in records]
    record_partitions(root, "silver", {"shop_orders": DeltaTable(uri)}, lambda known: older_records, "older")
    plan = make_plan(group.settings, CATALOG)
    assert plan.rebuilt == "Built again, because code, contract or inputs have changed: silver.shop_orders (2 partitions)."
    assert [t.table for t in plan.tables] == ["shop_orders"]
    settled(group)


def test_a_later_start_date_leaves_it_as_it_is_which_deliveries_count(group):
    rows = [{"id": f"k{n}", "at": 1, "said": "x"} for n in range(4)]
    group.land(PRODUCTS_FEED, D1, "a", rows)
    group.land(PRODUCTS_FEED, D2, "a", rows[:1])
    settled(group)
    later = group.settings.model_copy(update={"lakehouse_start_date": D2})
    assert make_plan(later, CATALOG).tables == ()
    assert make_silver_plan(later, CATALOG).tables == ()


@pytest.mark.parametrize("mode", ["upsert", "history"])
def test_complete_deliveries_of_a_table_whose_columns_have_the_names_that_the_query_would_use(mode, make_lakehouse):
    table = one_feed(
        landing="shop/leases",
        columns=tuple(SourceColumn(name, "") for name in ("day", "ended")),
        contract=Contract(
            table="shop_leases",
            description="Leases",
            owner="team:shop",
            key=("day",),
            mode=mode,
            sequence="ended",
            columns=(Column("day", "string", ""), Column("ended", "timestamp", "")),
        ),
        function=lambda raw: raw,
    )
    shop = make_lakehouse(with_feed(table, complete=Complete(0.0)))
    shop.land("shop/leases", "2026-01-01", "a.csv", "day,ended\nx,2026-01-01 10:00:00\ny,2026-01-01 10:00:00\n")
    shop.land("shop/leases", "2026-01-02", "a.csv", "day,ended\nx,2026-01-02 10:00:00\n")
    assert shop.build() == {}
    live = {row["day"] for row in shop.rows("silver.shop_leases") if mode == "upsert" or row["valid_to"] is None}
    assert live == {"x"}
