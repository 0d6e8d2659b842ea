"""A retail group in small, with each shape that a silver table can have, and what its tables must hold, in plain Python.

    orders     one table of two feeds: CSV exports and change events
    items      the items of nested orders; each waits for its order
    products   full exports: what the newest lacks is deleted
    prices     full exports as a history: what the newest lacks has ended

The oracle knows no SQL, no storage and no increments.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import obstore

from lakehouse_assets.books.accepted import AcceptedDeliveries
from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.records import read_books
from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Complete, Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Format, Json
from lakehouse_assets.contracts.system import Catalog, Input, SilverTable
from lakehouse_assets.delta.tables import forget_open_tables
from lakehouse_assets.materialization.row_accounts import row_accounts_result
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.build import build_partitions
from lakehouse_assets.silver.deliveries import held_deliveries
from tests.support.target import target

START = date(2026, 1, 1)
DATES = [START + timedelta(days=n) for n in range(5)]
PASSES = 8
BROKEN = "broken"


def _feed(name: str, *columns: str, complete: bool = False, format: Format | None = None) -> Feed:
    source = tuple(SourceColumn(column, "", required=column != "items") for column in columns)
    return Feed(f"shop/{name}", source, format or Csv(), complete=Complete(0.5) if complete else None)


ORDERS_FEED = _feed("orders", "id", "at", "said", "op", "sent")
CHANGES_FEED = _feed("order_changes", "id", "at", "said", "op", "sent", format=Json())
DOCS_FEED = _feed("order_docs", "id", "at", "items", "sent", format=Json())
PRODUCTS_FEED = _feed("products", "id", "at", "said", "sent", complete=True)
PRICES_FEED = _feed("prices", "id", "at", "said", "sent", complete=True)
NOT_BAD = Rule("value_not_bad", "value IS NULL OR value <> 'bad'", "drop", "A value is not bad.")


def _take(raw: Any) -> Any:
    return raw.selectExpr("*", "NULLIF(id, '') AS thing_id", "said AS value")


def _take_item(raw: Any) -> Any:
    return raw.selectExpr(
        "*",
        "NULLIF(id, '') AS order_id",
        "get_json_object(_item, '$.line') AS line",
        "get_json_object(_item, '$.said') AS value",
    )


def _contract(name: str, key: Sequence[str], columns: Sequence[Column], **more: Any) -> Contract:
    return Contract(f"shop_{name}", name, "team:shop", columns, key, rules=(NOT_BAD,), **more)


_AT, _VALUE = Column("at", "int", ""), Column("value", "string", "")
ORDERS = SilverTable(
    _contract("orders", ["thing_id"], [Column("thing_id", "string", ""), _AT, _VALUE], sequence="at", deleted="op = 'd'"),
    (Input(ORDERS_FEED, _take), Input(CHANGES_FEED, _take)),
)
ITEMS = SilverTable(
    _contract(
        "items",
        ["order_id", "line"],
        [Column("order_id", "string", ""), Column("line", "int", ""), _AT, _VALUE],
        sequence="at",
        relationships=(Relationship("order_id", "shop_orders", "thing_id", "drop"),),
    ),
    (Input(DOCS_FEED, _take_item, each="items"),),
)
PRODUCTS = SilverTable(
    _contract("products", ["thing_id"], [Column("thing_id", "string", ""), _AT, _VALUE], sequence="at"),
    (Input(PRODUCTS_FEED, _take),),
)
PRICES = SilverTable(
    _contract(
        "prices",
        ["thing_id"],
        [Column("thing_id", "string", ""), Column("at", "date", ""), _VALUE],
        sequence="at",
        mode="history",
    ),
    (Input(PRICES_FEED, _take),),
)
TABLES = (ORDERS, ITEMS, PRODUCTS, PRICES)
CATALOG = Catalog.from_tables(TABLES)

Values = dict[str, Any]
"""A row as it lands. A row with a value for `broken` can't be parsed."""


@dataclass(frozen=True)
class Row:
    """A row of silver before anything is decided: where it is from, its key, what orders it, and what becomes of it by itself."""

    feed: str
    day: date
    file: str
    number: int
    item: int
    key: tuple[Any, ...] | None
    at: Any
    value: str | None
    deletes: bool = False
    bad: bool = False

    @property
    def identity(self) -> tuple[Any, ...]:
        return self.feed, self.file, self.number, self.item, self.day

    @property
    def place(self) -> tuple[Any, ...]:
        return self.day, self.file, self.number, self.item, self.feed


@dataclass
class Expected:
    """Live rows and waiting ones by identity, and how many of each date are superseded, and lie in quarantine."""

    live: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    waiting: set[tuple[Any, ...]] = field(default_factory=set)
    superseded: dict[date, int] = field(default_factory=dict)
    quarantined: dict[date, int] = field(default_factory=dict)


def expected(rows: Iterable[Row], *, history: bool, partners: set[str] | None, deliveries: Sequence[date] | None) -> Expected:
    """What the rows make, whatever the order in which they came.

    `partners` are the orders that there are, where rows wait for them; `deliveries` the dates whose missing keys are gone.
    """
    result = Expected()
    rows = list(rows)
    waits = {r for r in rows if partners is not None and not r.bad and r.key is not None and r.key[0] not in partners}
    out = {r for r in rows if r.bad or r in waits}
    result.waiting = {r.identity for r in waits}
    for row in out:
        result.quarantined[row.day] = result.quarantined.get(row.day, 0) + 1
    for key, same in groupby(sorted((r for r in rows if r.key is not None), key=lambda r: str(r.key)), key=lambda r: r.key):
        of_key = list(same)
        ends = _ends({r.day for r in of_key}, deliveries or ())
        passed = [r for r in of_key if r not in out]
        (_history if history else _upsert)(key, passed, ends, result)
    for row in rows:
        if row not in out and row.identity not in result.live:
            result.superseded[row.day] = result.superseded.get(row.day, 0) + 1
    return result


def _ends(present: set[date], deliveries: Sequence[date]) -> list[date]:
    """The deliveries that end a key: each is the first after a date on which it was present, and lacks it."""
    ends = []
    for day in present:
        after = [d for d in deliveries if d > day]
        if after and min(after) not in present and not any(day < other < min(after) for other in present):
            ends.append(min(after))
    return sorted(set(ends))


def _upsert(key: Any, rows: list[Row], ends: list[date], result: Expected) -> None:
    alive = [r for r in rows if not any(end > r.day for end in ends)]
    if alive:
        winner = max(alive, key=lambda r: (r.at is not None, r.at or 0, r.place))
        if not winner.deletes:
            result.live[winner.identity] = (*key, winner.at, winner.value)


def _history(key: Any, rows: list[Row], ends: list[date], result: Expected) -> None:
    moments: dict[Any, Row | None] = {}
    for row in sorted(rows, key=lambda r: r.place):
        before = [end for end in ends if end <= row.day]
        after = [end for end in ends if end > row.day]
        moment = row.at
        if before and (moment is None or moment <= before[-1]):
            moment = row.day
        if not (after and moment is not None and moment >= after[0]):
            moments[moment] = row  # of one moment, the place that is last wins
    for end in ends:
        moments[end] = None if (row := moments.get(end)) is None or row.day < end else row
    until: date | None = None
    ordered = sorted(moments, key=lambda m: (m is not None, m or START))
    for number in range(len(ordered) - 1, -1, -1):
        moment, now = ordered[number], moments[ordered[number]]
        last = moments[ordered[number - 1]] if number else None
        if now is None:
            until = moment
        elif last is None or last.value != now.value:
            result.live[now.identity] = (*key, now.at, now.value, moment, until)
            until = moment


def effective(counts: dict[date, tuple[int, int]], accepted: set[date]) -> list[date]:
    """The deliveries that delete what they lack, of those with so many rows that can and that can't be read."""
    before, result = 0, []
    for day, (good, broken) in sorted(counts.items()):
        if broken or good + broken == 0 or (good < 0.5 * before and day not in accepted):
            continue
        before = good
        result.append(day)
    return result


@dataclass
class Group:
    """The group over a root of its own: what has landed, and what came of it."""

    folder: Path
    session: Callable[[], Any]
    landed: dict[tuple[str, date, str], list[Values]] = field(default_factory=dict)
    accepted: dict[tuple[str, date], list[tuple[str, list[Values]]]] = field(default_factory=dict)
    engine: str = "sail"

    @property
    def settings(self) -> Settings:
        return Settings(lakehouse_root=str(self.folder), lakehouse_engine=self.engine, lakehouse_start_date=START)

    # What the world outside does.

    def land(self, feed: Feed, day: date, name: str, rows: list[Values]) -> None:
        self.landed[feed.table, day, name] = rows
        put = [{**row, "sent": name} for row in rows]
        text = "".join(map(_line, put)) if isinstance(feed.format, Json) else _csv(feed, put)
        obstore.put(self.settings.root.store, f"landing/{feed.landing}/{day}/{name}", text.encode())

    def remove(self, feed: Feed, day: date, name: str) -> None:
        if self.landed.pop((feed.table, day, name), None) is not None:
            obstore.delete(self.settings.root.store, f"landing/{feed.landing}/{day}/{name}")

    # What the package does.

    def build_raw(self, feed: Feed, dates: Sequence[date]) -> None:
        load_partitions(feed, target(self.settings.root, "raw", feed.table, dates), START)

    def build_silver(self, table: SilverTable, dates: Sequence[date]) -> None:
        if any(self.settings.root.table_names("raw") and f.table in self.settings.root.table_names("raw") for f in table.feeds):
            build_partitions(table, self.session, target(self.settings.root, "silver", table.name, dates))

    def build(self, table: SilverTable, dates: Sequence[date]) -> None:
        for feed in table.feeds:
            self.build_raw(feed, dates)
        self.build_silver(table, dates)

    def to_build(self) -> list[tuple[str, str, tuple[date, ...]]]:
        return [(t.layer, t.table, t.dates) for t in make_plan(self.settings, CATALOG).of_layers("raw", "silver")]

    def settle(self) -> int:
        """Passes until nothing is due; how many there were."""
        for number in range(PASSES):
            if not (due := self.to_build()):
                return number
            for feed in CATALOG.feeds:
                for dates in [d for layer, name, d in due if (layer, name) == ("raw", feed.table)]:
                    self.build_raw(feed, dates)
            for table in CATALOG.by_partners():
                for dates in [d for layer, name, d in due if (layer, name) == ("silver", table.name)]:
                    self.build_silver(table, dates)
        raise AssertionError(f"passes don't end: {self.to_build()}")

    def accept(self, feed: Feed, day: date) -> None:
        """Accept the delivery as raw has it, where raw has what landed."""
        records = read_books(self.settings.root, [("raw", feed.table)])
        record = records.get(("raw", feed.table, day))
        if record is not None and not record.is_unverified and not any(name == feed.table for _, name, _ in self.to_build()):
            AcceptedDeliveries(self.settings.root).add(feed.table, day, record.fingerprint)
            self.accepted[feed.table, day] = self._delivery(feed, day)

    def held(self) -> set[tuple[str, date]]:
        return {(d.feed.table, d.date) for d in held_deliveries(self.settings.root, CATALOG.feeds)}

    # What must be so.

    def check(self) -> None:
        """Hold the tables and accounts against landing, once all is settled."""
        forget_open_tables()
        orders = self._expected(ORDERS, None)
        partners = {row[0] for row in orders.live.values()}
        for table, wanted in (
            (ORDERS, orders),
            (ITEMS, self._expected(ITEMS, partners)),
            (PRODUCTS, self._expected(PRODUCTS, None)),
            (PRICES, self._expected(PRICES, None)),
        ):
            if table.name in self.settings.root.table_names("silver"):
                self._check(table, wanted)
            else:
                assert not wanted.live

    def _check(self, table: SilverTable, wanted: Expected) -> None:
        names = [*table.contract.key, "at", "value", *(("valid_from", "valid_to") if table.contract.validity else ())]
        columns = ", ".join(f'"{name}"' for name in names)
        identity = "_source_feed, _source_file, _row_number, _item_number, _date"
        rows = query(self.settings.root, f"SELECT {identity}, {columns} FROM silver.{table.name}").fetchall()
        live = {row[:5]: row[5:] for row in rows}
        assert len(live) == len(rows), f"{table.name} has rows twice"
        assert live == wanted.live, table.name
        columns = "source_feed, source_file, row_number, item_number, date, rule"
        of_table = f"layer = 'silver' AND table_name = '{table.name}' AND reason LIKE '%Waits%'"
        waiting = query(self.settings.root, f"SELECT {columns} FROM quarantine.rows WHERE {of_table}").fetchall()
        assert {row[:5] for row in waiting} == wanted.waiting
        assert {row[5] for row in waiting} <= {r.name for r in table.contract.waits_for}
        result = row_accounts_result(self.settings.root, "silver", table.name, None)
        assert result.passed, result.description
        for (_, _, day), record in Ledger(self.settings.root).read("silver", table.name).items():
            figures = (wanted.superseded.get(day, 0), wanted.quarantined.get(day, 0))
            assert (record.rows_superseded, record.rows_quarantined) == figures, record

    def _expected(self, table: SilverTable, partners: set[str] | None) -> Expected:
        rows = [row for feed in table.feeds for row in self._rows(feed, table)]
        [deliveries] = [self.deliveries(f) for f in table.feeds if f.complete] or [None]
        return expected(rows, history=bool(table.contract.validity), partners=partners, deliveries=deliveries)

    def deliveries(self, feed: Feed) -> list[date]:
        """The dates whose missing keys are gone."""
        counts: dict[date, tuple[int, int]] = {}
        for (name, day, _), rows in self.landed.items():
            if name == feed.table:
                good, broken = counts.get(day, (0, 0))
                new = sum(BROKEN in row for row in rows)
                counts[day] = (good + len(rows) - new, broken + new)
        accepted = {
            day for (name, day), rows in self.accepted.items() if name == feed.table and rows == self._delivery(feed, day)
        }
        return effective(counts, accepted)

    def _delivery(self, feed: Feed, day: date) -> list[tuple[str, list[Values]]]:
        return sorted((name, rows) for (of, on, name), rows in self.landed.items() if (of, on) == (feed.table, day))

    def _rows(self, feed: Feed, table: SilverTable) -> Iterator[Row]:
        for (name, day, file), values in self.landed.items():
            if name != feed.table:
                continue
            for number, row in enumerate(values, start=1 if isinstance(feed.format, Json) else 2):
                if BROKEN in row:
                    continue
                if table is ITEMS:
                    yield from _item_rows(row, feed, day, file, number)
                    continue
                key, value, deletes = row["id"], row["said"], row.get("op") == "d"
                at = date.fromisoformat(row["at"]) if table is PRICES and row["at"] is not None else row["at"]
                bad = key is None or (value == "bad" and not deletes)
                yield Row(feed.table, day, file, number, 0, None if key is None else (key,), at, value, deletes, bad)


def _item_rows(row: Values, feed: Feed, day: date, file: str, number: int) -> Iterator[Row]:
    items = row.get("items")
    if items is None:
        return
    if not isinstance(items, list):
        yield Row(feed.table, day, file, number, 0, None, row["at"], None, bad=True)
        return
    for index, item in enumerate(items, start=1):
        line, value = (item.get("line"), item.get("said")) if isinstance(item, dict) else (None, None)
        key = None if row["id"] is None or line is None else (row["id"], line)
        yield Row(feed.table, day, file, number, index, key, row["at"], value, bad=key is None or value == "bad")


def _line(row: Values) -> str:
    return json.dumps(row) + "\n"


def _csv(feed: Feed, rows: list[Values]) -> str:
    names = feed.column_names
    lines = [
        ",".join(["" if row.get(n) is None else str(row[n]) for n in names] + (["x"] if BROKEN in row else [])) for row in rows
    ]
    return "\n".join([",".join(names), *lines]) + "\n"


KEYS = 4
FILES = ("a", "b")


def random_rows(chance: random.Random, feed: Feed) -> list[Values]:
    """Rows of a file of the feed."""

    def key() -> str | None:
        return None if chance.random() < 0.03 else f"k{chance.randrange(KEYS)}"

    def value() -> str:
        return chance.choices(("x", "y", "z", "bad"), (4, 4, 4, 1))[0]

    def at() -> int | None:
        return None if chance.random() < 0.1 else chance.randrange(5)

    if feed is DOCS_FEED:
        return [{"id": key(), "at": at(), "items": _items(chance, value)} for _ in range(chance.randint(0, 3))]
    if feed.complete:
        broken: Values = {BROKEN: "x"} if chance.random() < 0.05 else {}
        days = [None, *(str(START + timedelta(days=n)) for n in range(-2, 7))]
        named = chance.sample(range(KEYS), chance.randint(0, KEYS))
        rows: list[Values] = [
            {"id": f"k{n}", "at": chance.choice(days) if feed is PRICES_FEED else at(), "said": value()} for n in named
        ]
        return [{**row, **(broken if number == 0 else {})} for number, row in enumerate(rows)]
    return [{"id": key(), "at": at(), "said": value(), "op": chance.choice("uuud")} for _ in range(chance.randint(0, 4))]


def _items(chance: random.Random, value: Callable[[], str]) -> Any:
    lines = [{"line": line, "said": value()} for line in chance.sample(range(3), chance.randint(0, 3))]
    odd = chance.choice([None, "oops", {"line": 1}, 7, [{"said": "x"}], [None, {"line": 1, "said": "y"}]])
    return odd if chance.random() < 0.2 else lines
