"""The same content under two names: in any order of arrival a partition is what a plain reading of its files says."""

import hashlib
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import forget_open_tables, newest_table, open_table
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw import load as loading
from lakehouse_assets.raw import write
from lakehouse_assets.raw.stage import StagedFile
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.serving.query import query
from lakehouse_assets.store.root import Root

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)
LOG = logging.getLogger("test")

ORDERS = Feed("shop/orders", (SourceColumn("id", "Number"), SourceColumn("total", "Total")))

ONE = b"id,total\n1,10\n2,20\n"
OTHER = b"id,total\n3,30\n"
BROKEN = b"id,total\n4,40\n5\n"
LACKING = b"id\n6\n7\n"
EMPTY = b""


class KilledError(Exception):
    """A step ended by force."""


class Shop:
    """Landing and the raw table of one entity, built by the handlers alone."""

    def __init__(self, root: Root) -> None:
        self.root, self.landing = root, Landing(root)
        self.uploads = self.runs = 0

    def file(self, day: date, name: str) -> Path:
        return Path(self.root.path("landing", "shop", "orders", str(day), name))

    def drop(self, day: date, name: str, data: bytes) -> None:
        file = self.file(day, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f"_{name}")
        unfinished.write_bytes(data)
        unfinished.replace(file)

    def remove(self, day: date, name: str) -> None:
        self.file(day, name).unlink()

    def files(self) -> dict[tuple[date, str], bytes]:
        result = self.landing.listing("shop/orders", D1).objects
        return {(o.date, o.name): self.file(o.date, o.name).read_bytes() for o in result}

    def target(self) -> Target:
        return Target(self.root, "raw", "shop_orders", [D1, D2], f"run-{self.runs}", LOG)

    def build(self, feed: Feed = ORDERS):
        self.runs += 1
        forget_open_tables()
        return load_partitions(feed, self.target(), D1)

    def rows(self):
        table = open_table(self.root.table("raw", "shop_orders"))
        columns = ["_date", "_source_file", "_row_number", "id", "total", "_source_etag"]
        return sorted(tuple(r.values()) for r in table.to_pyarrow_table(columns=columns).to_pylist())

    def rejects(self):
        rows = query(self.root, "SELECT date, source_file, row_number, rule FROM quarantine.rows").fetchall()
        return sorted(rows, key=repr)

    def records(self):
        return {key[2]: r for key, r in Ledger(self.root).read("raw", "shop_orders").items()}

    def accounts(self):
        return {d: (r.rows_in, r.rows_out, r.rows_quarantined, r.rows_superseded) for d, r in self.records().items()}

    def duplicates(self):
        return {(d, f.name): f.duplicate_of for d, r in self.records().items() for f in r.files if f.duplicate_of}

    def version(self):
        return newest_table(self.root.table("raw", "shop_orders")).version()


@pytest.fixture
def shop(root):
    return Shop(root)


def test_the_same_bytes_under_two_names_are_loaded_once_from_the_name_that_comes_first(shop):
    shop.drop(D1, "b.csv", ONE)
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    assert {row[1] for row in shop.rows()} == {"a.csv"}
    assert len(shop.rows()) == 2
    assert shop.duplicates() == {(D1, "b.csv"): "a.csv"}


def test_a_duplicate_s_rows_count_as_superseded(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    shop.drop(D1, "c.csv", OTHER)
    shop.build()
    assert shop.accounts() == {D1: (5, 3, 0, 2)}


def test_the_refused_rows_of_a_duplicate_are_superseded_too(shop):
    shop.drop(D1, "a.csv", BROKEN)
    shop.drop(D1, "b.csv", BROKEN)
    shop.build()
    assert shop.accounts() == {D1: (4, 1, 1, 2)}
    assert shop.rejects() == [(D1, "a.csv", 3, "row_has_all_fields")]


def test_what_is_superseded_is_counted_in_table_and_quarantine(shop, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    stamped = StagedFile._stamped
    monkeypatch.setattr(StagedFile, "_stamped", lambda self, rows: stamped(self, rows.slice(0, 1)))  # a row is lost on the way
    shop.build()
    [record] = shop.records().values()
    assert (record.rows_out, record.rows_superseded, record.adds_up) == (1, 1, False)


def test_equal_bytes_on_different_dates_are_no_duplicates(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D2, "a.csv", ONE)
    shop.build()
    assert shop.accounts() == {D1: (2, 2, 0, 0), D2: (2, 2, 0, 0)}


def test_empty_files_are_no_duplicates(shop):
    shop.drop(D1, "a.csv", EMPTY)
    shop.drop(D1, "b.csv", EMPTY)
    shop.build()
    assert shop.rejects() == [(D1, "a.csv", None, "file_has_header"), (D1, "b.csv", None, "file_has_header")]


def test_a_duplicate_that_comes_later_writes_nothing_but_the_ledger(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    before, fingerprint = shop.version(), shop.records()[D1].fingerprint
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    assert shop.version() == before
    assert shop.accounts() == {D1: (4, 2, 0, 2)}
    assert shop.records()[D1].fingerprint == fingerprint


def test_a_duplicate_that_goes_writes_nothing_but_the_ledger(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    before = shop.version()
    shop.remove(D1, "b.csv")
    shop.build()
    assert (shop.version(), shop.accounts()) == (before, {D1: (2, 2, 0, 0)})


def test_a_name_that_comes_first_takes_over_from_one_that_came_earlier(shop):
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    assert {row[1] for row in shop.rows()} == {"a.csv"}
    assert shop.duplicates() == {(D1, "b.csv"): "a.csv"}


@pytest.mark.parametrize("gone", ["removed", "changed", "emptied"])
def test_a_duplicate_takes_the_place_of_a_file_that_is(shop, gone):
    shop.drop(D1, "a.csv", BROKEN)
    shop.drop(D1, "b.csv", BROKEN)
    shop.build()
    if gone == "removed":
        shop.remove(D1, "a.csv")
    else:
        shop.drop(D1, "a.csv", OTHER if gone == "changed" else EMPTY)
    shop.build()
    assert [row[:4] for row in shop.rows() if row[1] == "b.csv"] == [(D1, "b.csv", 2, "4")]
    assert (D1, "b.csv", 3, "row_has_all_fields") in shop.rejects()
    assert shop.duplicates() == {}
    assert all(r.adds_up for r in shop.records().values())


def test_the_same_bytes_uploaded_again_stay_a_duplicate(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    before = shop.version()
    for name in ("a.csv", "b.csv"):
        shop.drop(D1, name, ONE)
        shop.build()
    assert (shop.version(), shop.duplicates()) == (before, {(D1, "b.csv"): "a.csv"})


def test_a_duplicate_is_reported(shop, caplog):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    with caplog.at_level(logging.WARNING):
        written = shop.build()
    assert [r.getMessage() for r in caplog.records] == [
        "landing/shop/orders/2026-01-01/b.csv is not loaded: it has the same bytes as a.csv of the same date."
    ]
    assert written.metadata["duplicate_files"] == "2026-01-01/b.csv (as a.csv)"
    assert written.by_date[D1]["duplicate_files"] == 1


def test_a_duplicate_that_is_known_is_not_warned_of_again(shop, caplog):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    shop.drop(D1, "c.csv", OTHER)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        shop.build()
    assert caplog.records == []


def test_a_duplicate_that_can_t_be_read_when_its_first_is_gone_is_tried_again(shop, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    shop.remove(D1, "a.csv")
    read = loading._read_stable
    monkeypatch.setattr(loading, "_read_stable", lambda *given: None)
    shop.build()
    assert (shop.rows(), shop.accounts()) == ([], {D1: (0, 0, 0, 0)})
    monkeypatch.setattr(loading, "_read_stable", read)
    shop.build()
    assert {row[1] for row in shop.rows()} == {"b.csv"}


def test_a_file_that_changes_while_it_is_read_keeps_its_old_rows_beside_a_new_duplicate_of_them(shop, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    shop.drop(D1, "a.csv", OTHER)
    shop.drop(D1, "b.csv", ONE)
    read = loading._read_stable
    monkeypatch.setattr(loading, "_read_stable", lambda *given: None if given[1].name == "a.csv" else read(*given))
    shop.build()
    assert {row[1] for row in shop.rows()} == {"a.csv"}
    monkeypatch.setattr(loading, "_read_stable", read)
    shop.build()
    assert_built(shop)


def test_another_way_of_reading_reads_the_duplicates_too(shop):
    shop.drop(D1, "a.csv", LACKING)
    shop.drop(D1, "b.csv", LACKING)
    shop.build()
    shop.build(replace(ORDERS, columns=(SourceColumn("id", ""), SourceColumn("total", "", required=False))))
    assert (shop.accounts(), shop.duplicates()) == ({D1: (4, 2, 0, 2)}, {(D1, "b.csv"): "a.csv"})


def test_a_ledger_from_before_duplicates_were_known_is_read(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    ledger = Ledger(shop.root)
    table = open_table(ledger.uri).to_pyarrow_table()
    files = pa.array([[{k: v for k, v in f.items() if k != "duplicate_of"} for f in row] for row in table["files"].to_pylist()])
    old = table.set_column(table.schema.get_field_index("files"), "files", files)
    write_deltalake(ledger.uri, old, mode="overwrite", schema_mode="overwrite", partition_by=["layer", "table_name"])
    shop.drop(D2, "a.csv", ONE)
    shop.drop(D2, "b.csv", ONE)
    shop.build()
    assert shop.duplicates() == {(D2, "b.csv"): "a.csv"}


def expected(files: dict[tuple[date, str], bytes]):
    """Rows, rejects and accounts as a plain reading of the files gives them."""
    rows, rejects, accounts, duplicates = [], [], {}, {}
    first: dict[tuple[date, bytes], str] = {}
    for (day, name), data in sorted(files.items()):
        good = [line.split(",") for line in data.decode().splitlines()[1:]]
        lines = [(day, name, n, *(f or None for f in fields), hashlib.md5(data).hexdigest()) for n, fields in enumerate(good, 2)]
        if data == EMPTY:
            bad = [(day, name, None, "file_has_header")]
        elif data == LACKING:
            bad = [(day, name, None, "file_has_required_columns")]
        else:
            bad = [(*line[:3], "row_has_all_fields") for line in lines if len(line) < 6]
        lines = [] if data == LACKING else [line for line in lines if len(line) == 6]
        of = first.setdefault((day, data), name) if data else name
        n_in, n_out, n_bad, n_twice = accounts.get(day, (0, 0, 0, 0))
        n_refused = 2 if data == LACKING else len(bad)
        count = len(lines) + n_refused
        if of == name:
            rows += lines
            rejects += bad
            accounts[day] = (n_in + count, n_out + len(lines), n_bad + n_refused, n_twice)
        else:
            duplicates[day, name] = of
            accounts[day] = (n_in + count, n_out, n_bad, n_twice + count)
    return sorted(rows), sorted(rejects, key=repr), accounts, duplicates


def assert_built(shop: Shop) -> None:
    rows, rejects, accounts, duplicates = expected(shop.files())
    assert shop.rows() == rows
    assert shop.rejects() == rejects
    assert {d: a for d, a in shop.accounts().items() if any(a)} == accounts
    assert shop.duplicates() == duplicates


CONTENTS = st.sampled_from([ONE, OTHER, BROKEN, LACKING, EMPTY])
NAMES = st.sampled_from(["a.csv", "b.csv", "c.csv"])
DATES = st.sampled_from([D1, D1, D1, D2])
CHANGES = st.one_of(st.tuples(st.just("drop"), DATES, NAMES, CONTENTS), st.tuples(st.just("remove"), DATES, NAMES))
PLACES = ["before quarantine", "before a data file", "before the table", "before the ledger", "before old rejects go"]
KILLS = st.sampled_from([None, None, None, *PLACES])
PASSES = st.lists(st.tuples(st.lists(CHANGES, min_size=1, max_size=4), KILLS), min_size=1, max_size=5)


def build_and_kill(shop: Shop, kill: str) -> None:
    """A pass that ends at the given place as if the process had been killed there."""
    owner, name, call = {
        "before quarantine": (Quarantine, "add", 1),
        "before a data file": (obstore, "put", 1),
        "before the table": (write, "commit_files", 1),
        "before the ledger": (Ledger, "record", 1),
        "before old rejects go": (Quarantine, "remove", 1),
    }[kill]
    real, calls = getattr(owner, name), iter(range(1, 100))

    def die(*args, **kwargs):
        if next(calls) == call:
            raise KilledError
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
        patch.setattr(owner, name, die)
        shop.build()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(passes=PASSES)
def test_in_any_order_of_arrival_the_table_is_what_a_plain_reading_of_landing_gives(tmp_path_factory, passes):
    shop = Shop(Root.parse(str(tmp_path_factory.mktemp("shop") / "lakehouse")))
    for changes, kill in passes:
        for change in changes:
            if change[0] == "drop":
                shop.drop(*change[1:])
            elif shop.file(*change[1:]).exists():
                shop.remove(*change[1:])
        if kill is not None:
            build_and_kill(shop, kill)
            continue
        shop.build()
        assert_built(shop)
    shop.build()
    assert_built(shop)
