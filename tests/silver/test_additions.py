"""Files added to a date that silver has built: only their rows are read and written, and all is as if the date were built whole."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.set_aside import read_set_aside
from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.contracts.provenance import FILE
from lakehouse_assets.delta.tables import files_with, live_files, open_table
from lakehouse_assets.silver import additions, build, merge, quarantine
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.declare import feed_of, with_feed, with_function
from tests.support.group import CHANGES_FEED, DATES, DOCS_FEED, ITEMS, ORDERS_FEED, Group
from tests.support.orders import DAY1, DAY2, ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder")

D1 = date.fromisoformat(DAY1)
TABLE = replace(
    ORDERS,
    contract=replace(
        ORDERS.contract, rules=(*ORDERS.contract.rules, Rule("total_even", "total % 2 = 0", "warn", "A total is even."))
    ),
)


@pytest.fixture(autouse=True)
def _no_date_is_small(monkeypatch):
    monkeypatch.setattr(additions, "FEW_ROWS", 0)


@pytest.fixture
def shop(make_lakehouse):
    return make_lakehouse(TABLE)


@pytest.fixture
def added(monkeypatch):
    """The numbers of added files of each build so far, by date."""
    results = []
    find = build.with_additions

    def recorded(*args, **kwargs):
        to_build = find(*args, **kwargs)
        results.append({str(d): sum(map(len, a.files.values())) for d, a in to_build.additions.items()})
        return to_build

    monkeypatch.setattr(build, "with_additions", recorded)
    return results


def assert_as_built_from_nothing(shop, make_lakehouse):
    fresh = make_lakehouse(*shop.tables)
    fresh.copy_landing(shop)
    assert fresh.build() == {}
    for table in ("silver.shop_orders", "(SELECT * EXCLUDE (run_id) FROM quarantine.rows)"):
        assert shop.rows(table) == fresh.rows(table)
    assert facts(shop) == facts(fresh)


@pytest.fixture
def expect(shop, make_lakehouse):
    """Builds, and asserts that rows, quarantine and records are those of a build from nothing."""

    def as_built_from_nothing():
        assert shop.build() == {}
        assert_as_built_from_nothing(shop, make_lakehouse)
        assert shop.plan().is_empty

    return as_built_from_nothing


def facts(shop):
    """What the records say, but for what differs from one build of the same to the next."""
    records = Ledger(shop.settings.root).read_dates("silver", {"shop_orders": [D1, date.fromisoformat(DAY2)]})
    # An empty date may have a record or none.
    return {
        day: (
            r.fingerprint,
            r.sources,
            r.rows_in,
            r.rows_out,
            r.rows_quarantined,
            r.rows_superseded,
            [(hit.rule, hit.rows) for hit in r.rules],
        )
        for (_, _, day), r in records.items()
        if r.rows_in
    }


def silver_files(shop):
    return {f["path"]: f["num_records"] for f in live_files(open_table(shop.settings.root.table("silver", "shop_orders")))}


def test_only_the_rows_of_added_files_are_written(shop, added, expect):
    shop.land("shop/orders", DAY1, "b.csv", csv(("A", 1, 10), ("B", 1, 11), (None, 1, 1)))
    expect()
    before = silver_files(shop)
    for number, name in enumerate(("c.csv", "a.csv", "o'brien \\n %20.csv")):
        shop.land("shop/orders", DAY1, name, csv((f"C{number}", 1, 30), (f"D{number}", 1, -1), (f"E{number}", 1, 7)))
        expect()
        assert added[-2:] == [{DAY1: 1}, {}]
    assert silver_files(shop).items() >= before.items()
    assert len(silver_files(shop)) == 4
    raw = open_table(shop.settings.root.table("raw", "shop_orders"))
    assert len(live_files(raw)) == 4
    for name in ("c.csv", "o'brien \\n %20.csv"):
        assert len(files_with(raw, FILE, {D1: [name]})) == 1


def test_rows_of_a_date_supersede_each_other_and_only_their_files_are_written_again(shop, added, expect):
    shop.land("shop/orders", DAY1, "b.csv", csv(("A", 5, 10), ("B", 1, 12)))
    expect()
    shop.land("shop/orders", DAY1, "c.csv", csv(("C", 1, 10)))
    expect()
    [first, second] = sorted(silver_files(shop), key=lambda path: -silver_files(shop)[path])
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 6, 20), ("A", 4, 14)))
    expect()
    assert added[-2] == {DAY1: 1}
    assert second in silver_files(shop)
    assert first not in silver_files(shop)
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 7, 20)))
    shop.land("shop/orders", DAY1, "d.csv", csv(("A", 8, 20), ("B", 0, 2), ("E", 1, 1)))
    expect()
    assert shop.accounts("silver", "shop_orders") == {DAY1: (8, 4, 0, 4), DAY2: (1, 0, 0, 1)}


B = csv(("A", 1, 10), ("B", 1, 10))


CASES = {
    "an added file": ([("z.csv", csv(("C", 1, 1)))], 1),
    "an added file without rows": ([("z.csv", csv())], 1),
    "an added file of which no row can be read": ([("z.csv", csv() + "1,2,3,4\n")], 1),
    "a changed file": ([("b.csv", csv(("A", 1, 12)))], 0),
    "an added and a changed file": ([("z.csv", csv(("C", 1, 1))), ("b.csv", csv(("A", 1, 12)))], 0),
    "a vanished file": ([("b.csv", None)], 0),
    "an added and a vanished file": ([("z.csv", csv(("C", 1, 1))), ("b.csv", None)], 0),
    "a file that takes the place of its duplicate": ([("a.csv", B)], 0),
    "an added file and a duplicate": ([("y.csv", csv(("C", 1, 1))), ("z.csv", B)], 1),
}


@pytest.mark.parametrize("case", CASES)
def test_a_date_is_built_whole_unless_files_were_only_added(case, shop, added, expect):
    shop.land("shop/orders", DAY1, "b.csv", B)
    shop.land("shop/orders", DAY1, "c.csv", csv(("D", 1, 10)))
    expect()
    files, number = CASES[case]
    for name, text in files:
        if text is None:
            shop.remove("shop/orders", DAY1, name)
        else:
            shop.land("shop/orders", DAY1, name, text)
    expect()
    assert added[-2] == ({DAY1: number} if number else {})


def other_code(shop, monkeypatch):
    shop.tables = [replace(TABLE, contract=replace(TABLE.contract, rules=ORDERS.contract.rules))]


def other_feed(shop, monkeypatch):
    columns = tuple(replace(c, required=False) for c in feed_of(TABLE).columns)
    shop.tables = [with_feed(TABLE, columns=columns)]


def other_type(shop, monkeypatch):
    columns = tuple(replace(c, type="bigint") if c.name == "total" else c for c in TABLE.contract.columns)
    shop.tables = [replace(TABLE, contract=replace(TABLE.contract, columns=columns))]


def no_ledger(shop, monkeypatch):
    for path, _ in shop.settings.root.files("ops/partitions"):
        shop.settings.root.delete([path])


def no_list(shop, monkeypatch):
    for path, _ in shop.settings.root.files("silver/shop_orders/_superseded"):
        shop.settings.root.delete([path])


def killed(shop, monkeypatch):
    """The step that builds another addition is killed before it writes its record."""

    def die(*args):
        raise KeyboardInterrupt

    shop.land("shop/orders", DAY1, "y.csv", csv(("A", 3, 10), ("Y", 1, 10)))
    with monkeypatch.context() as patch:
        patch.setattr(build, "record_partitions", die)
        with pytest.raises(KeyboardInterrupt):
            shop.build()


@pytest.mark.parametrize("change", [other_code, other_feed, other_type, no_ledger, no_list, killed])
def test_a_date_is_built_whole_if_more_than_its_files_has_changed(change, shop, added, expect, monkeypatch):
    shop.land("shop/orders", DAY1, "b.csv", B)
    expect()
    change(shop, monkeypatch)
    shop.land("shop/orders", DAY1, "c.csv", csv(("A", 2, 20), ("C", 1, 10)))
    expect()
    assert added[-2] == {}


def counted(raw):
    return raw.selectExpr("*", "id AS order_id", "at AS changed_at", "count(*) OVER (PARTITION BY _date) AS total")


def through_a_view(raw):
    counted(raw).createOrReplaceTempView("counted")
    return raw.sparkSession.table("counted")


UNIQUE = Rule("at_unique", "count(*) OVER (PARTITION BY changed_at, _date) = 1", "drop", "A time is unique.")


@pytest.mark.parametrize(
    "table",
    [
        with_function(TABLE, counted),
        with_function(TABLE, through_a_view),
        replace(TABLE, contract=replace(TABLE.contract, rules=(UNIQUE,))),
    ],
    ids=["function", "view", "rule"],
)
def test_a_date_is_built_whole_if_its_rows_depend_on_each_other(table, make_lakehouse, added):
    shop = make_lakehouse(table)
    for name, row in (("a.csv", ("A", 1, 10)), ("b.csv", ("B", 1, 10))):
        shop.land("shop/orders", DAY1, name, csv(row))
        assert shop.build() == {}
    totals = [row["total"] for row in shop.rows("silver.shop_orders")]
    assert totals == ([2, 2] if table.contract.rules != (UNIQUE,) else [])


def test_a_small_date_is_built_whole(shop, added, expect, monkeypatch):
    monkeypatch.setattr(additions, "FEW_ROWS", 3)
    for name, key in (("a.csv", "A"), ("b.csv", "B"), ("c.csv", "C")):
        shop.land("shop/orders", DAY1, name, csv((key, 1, 10), (f"{key}{key}", 1, 10)))
        expect()
    assert [a for a in added if a] == [{DAY1: 1}]


def test_a_refused_addition_leaves_the_date_as_it_was(shop, added, expect):
    shop.land("shop/orders", DAY1, "b.csv", B)
    expect()
    shop.land("shop/orders", DAY1, "c.csv", csv(("A", 2, 20), ("C", 1, 2_000_000)))
    shop.land("shop/orders", DAY2, "a.csv", csv(("B", 2, 30)))
    assert "nothing was built of 2026-01-01" in shop.build()["silver__shop_orders"]
    assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 10), ("B", 30)]
    shop.land("shop/orders", DAY1, "c.csv", csv(("A", 2, 20), ("C", 1, 2)))
    shop.land("shop/orders", DAY1, "d.csv", csv(("D", 1, 2)))
    expect()
    assert added[-2] == {DAY1: 2}


def test_many_additions_leave_few_files_and_batches(shop, added, monkeypatch, make_lakehouse):
    monkeypatch.setattr(merge, "MOST_SMALL_FILES", 4)
    monkeypatch.setattr(quarantine, "_MOST_BATCHES", 4)
    root, written = shop.settings.root, []
    for number in range(24):
        rows = csv((f"K{number}", 1, 10), ("A", number, number), (f"B{number}", 1, -1))
        shop.land("shop/orders", DAY1, f"{number}.csv", rows)
        before = silver_files(shop) if number else {}
        assert shop.build() == {}
        written.append(sum(rows for path, rows in silver_files(shop).items() if path not in before))
    [record] = shop.records("silver", "shop_orders").values()
    aside = read_set_aside(root, "silver", "shop_orders", open_table(root.table("silver", "shop_orders")))
    assert [sum(a.values()) for a in added] == [0, *[1] * 23]
    # Four, or the logarithm of the rows.
    assert len(silver_files(shop)) <= 6
    assert len(record.batches) <= 6
    assert len(aside.batches) <= 64
    # Built whole, or kept in one file, the date would have been written 24 times: 324 rows.
    assert sum(written) < 160
    assert_as_built_from_nothing(shop, make_lakehouse)


def test_a_compacted_date_takes_additions(shop, added, expect):
    shop.land("shop/orders", DAY1, "b.csv", csv(("A", 1, 10), ("B", 1, 12)))
    expect()
    shop.land("shop/orders", DAY1, "c.csv", csv(("C", 1, 10)))
    expect()
    list(maintain(shop.settings.root, timedelta(days=7)))
    assert len(silver_files(shop)) == 1
    shop.land("shop/orders", DAY1, "d.csv", csv(("D", 1, 10)))
    expect()
    shop.land("shop/orders", DAY1, "e.csv", csv(("A", 2, 10), ("E", 2, 14)))
    shop.land("shop/orders", DAY2, "e.csv", csv(("C", 2, 10)))
    expect()
    assert [a for a in added if a] == [{DAY1: 1}] * 3


def item(line, said, at=1):
    return {"id": "k0", "at": at, "items": [{"line": line, "said": said}]}


def order(key, at=1, op="u"):
    return {"id": key, "at": at, "said": "x", "op": op}


def test_additions_of_each_feed_and_of_items_that_wait(tmp_path, engine, added):
    group, day = Group(tmp_path / "root", engine.session), DATES[0]

    def land(feed, name, *rows):
        group.land(feed, day, name, list(rows))
        added.clear()
        group.settle()
        group.check()
        return [a for a in added if a]

    assert land(ORDERS_FEED, "a", order("k1")) == []
    assert land(CHANGES_FEED, "a", order("k2"), order("k1", 2)) == [{str(day): 1}]
    assert land(CHANGES_FEED, "b", order("k1", 3)) == [{str(day): 1}]
    assert land(DOCS_FEED, "a", item(1, "x"), {"id": "k1", "at": 1, "items": "oops"}) == []
    assert land(DOCS_FEED, "b", item(1, "y", 2), item(2, "bad"), item(3, "x")) == [{str(day): 1}]
    waiting = {r.fingerprint for r in Ledger(group.settings.root).read("silver", ITEMS.name).values()}
    # The partner comes: an addition to the orders, while the items are judged again.
    assert land(ORDERS_FEED, "b", order("k0")) == [{str(day): 1}]
    assert waiting != {r.fingerprint for r in Ledger(group.settings.root).read("silver", ITEMS.name).values()}
    assert land(DOCS_FEED, "c", item(1, "z", 3), item(2, "x")) == [{str(day): 1}]
    # Upkeep puts rows of built and of added files into one file.
    group.land(DOCS_FEED, day, "d", [item(1, "u", 4), item(4, "x")])
    group.build_raw(DOCS_FEED, [day])
    list(maintain(group.settings.root, timedelta(days=7)))
    assert land(ORDERS_FEED, "c", order("k3")) == [{str(day): 1}] * 2
    assert land(ORDERS_FEED, "d", order("k0", 9, "d")) == [{str(day): 1}]


def test_the_hash_of_what_waits_is_that_of_the_whole_date(tmp_path, engine):
    fingerprints = []
    for names in (["a", "b"], ["ab"]):
        group = Group(tmp_path / "-".join(names), engine.session)
        for landed in names:
            for name in landed:
                group.land(DOCS_FEED, DATES[0], name, [item(ord(name), name), item(ord(name) + 7, "bad")])
            group.settle()
        fingerprints.append({r.fingerprint for r in Ledger(group.settings.root).read("silver", ITEMS.name).values()})
    assert fingerprints[0] == fingerprints[1]
    assert "/" in min(fingerprints[0])
