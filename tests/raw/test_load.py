import hashlib
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw.load import differences
from tests.support.staged import staged, staged_rejects, staged_rows

START = date(2026, 1, 1)
D1, D2 = date(2026, 1, 1), date(2026, 1, 2)

CUSTOMERS = Feed("shop/customers", (SourceColumn("id", "Number"), SourceColumn("Full Name", "Name")))


class Shop:
    """A landing zone and what its raw partitions were built from."""

    def __init__(self, root):
        self.root = root
        self.landing = Landing(root)
        self.built = {}

    def drop(self, day, name, data):
        file = Path(self.root.path("landing", "shop", "customers", str(day), name))
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside and then into place, as uploads do: so that the same bytes are another upload.
        unfinished = file.with_name(f"_{file.name}")
        unfinished.write_bytes(data)
        unfinished.replace(file)

    def remove(self, day, name):
        Path(self.root.path("landing", "shop", "customers", str(day), name)).unlink()

    def listing(self, start=START):
        return self.landing.listing("shop/customers", start)

    def differences(self, dates=None, feed=CUSTOMERS):
        listing = self.listing()
        return differences(feed, listing.objects, self.built, dates, listing.hidden)

    def load(self, *dates, feed=CUSTOMERS, objects=None):
        listing = self.listing()
        return staged(self.root, self.landing, feed, dates, objects or listing.objects, self.built, listing.hidden)

    def build(self, *dates, feed=CUSTOMERS):
        """Load, and note down what the partitions were built from, as a raw asset does."""
        landed = self.load(*dates, feed=feed)
        for day, loaded in landed.dates.items():
            self.built[day] = PartitionRecord(
                layer="raw",
                table_name="shop_customers",
                date=day,
                rows_in=0,
                rows_out=0,
                rows_quarantined=0,
                rows_superseded=0,
                delta_version=0,
                run_id="r",
                fingerprint=loaded.fingerprint,
                files=loaded.files,
            )
        return landed


@pytest.fixture
def shop(root):
    return Shop(root)


def csv(*rows):
    return ("id,Full Name\n" + "".join(f"{row}\n" for row in rows)).encode()


def told(result):
    """Differences as (date, names to read, names that vanished)."""
    return [(d.date, [o.name for o in d.read], d.vanished) for d in result]


def rows(landed):
    order = [("_date", "ascending"), ("_source_file", "ascending"), ("_row_number", "ascending")]
    columns = ["id", "full_name", "_source_file", "_row_number", "_date"]
    return [tuple(row.values()) for row in staged_rows(landed).sort_by(order).select(columns).to_pylist()]


def replaced(landed):
    """The files whose rows come or go, by date; None if all rows of the date are replaced."""
    changed = {day: loaded for day, loaded in landed.dates.items() if loaded.is_changed}
    return {day: None if loaded.outgoing is None else loaded.loaded | loaded.outgoing for day, loaded in changed.items()}


def test_an_empty_landing_differs_from_nothing(shop):
    assert shop.differences() == []


def test_new_files_are_to_be_read(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D2, "b.csv", csv("2,Bob"))
    assert told(shop.differences()) == [(D1, ["a.csv"], []), (D2, ["b.csv"], [])]


def test_only_the_dates_that_are_asked_for_are_compared(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D2, "b.csv", csv("2,Bob"))
    assert told(shop.differences([D2])) == [(D2, ["b.csv"], [])]


def test_what_was_built_differs_no_more(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    assert shop.differences() == []


def test_a_file_beside_one_that_was_read_is_the_only_one_to_be_read(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "b.csv", csv("2,Bob"))
    assert told(shop.differences()) == [(D1, ["b.csv"], [])]


def test_a_changed_file_is_to_be_read(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Anna"))
    assert told(shop.differences()) == [(D1, ["a.csv"], [])]


def test_a_removed_file_has_vanished(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.build(D1)
    shop.remove(D1, "a.csv")
    assert told(shop.differences()) == [(D1, [], ["a.csv"])]


def test_the_last_file_of_a_date_can_vanish(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.remove(D1, "a.csv")
    assert told(shop.differences()) == [(D1, [], ["a.csv"])]


def test_another_way_of_reading_reads_all_files_again(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.build(D1)
    feed = replace(CUSTOMERS, format=Csv(encoding="latin-1"))
    assert told(shop.differences(feed=feed)) == [(D1, ["a.csv", "b.csv"], [])]


def test_rows_say_where_they_come_from(shop):
    shop.drop(D1, "a.csv", csv("1,Ann", "2,Bob"))
    shop.drop(D2, "b.csv", csv("3,Cid"))
    assert rows(shop.load(D1, D2)) == [
        ("1", "Ann", "a.csv", 2, D1),
        ("2", "Bob", "a.csv", 3, D1),
        ("3", "Cid", "b.csv", 2, D2),
    ]


def test_rows_carry_the_hash_of_their_file(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    assert staged_rows(shop.load(D1)).column("_source_etag").to_pylist() == [hashlib.md5(csv("1,Ann")).hexdigest()]


def test_a_file_is_noted_with_its_size_and_counts(shop):
    shop.drop(D1, "a.csv", csv("1,Ann", "2"))
    file = shop.load(D1).dates[D1].files[0]
    assert (file.name, file.size, file.rows_in, file.rows_out) == ("a.csv", len(csv("1,Ann", "2")), 2, 1)


def test_rejects_say_where_they_come_from(shop):
    shop.drop(D1, "a.csv", csv("1,Ann", "2"))
    rejects = staged_rejects(shop.load(D1)).select(["date", "source_file", "row_number", "payload"]).to_pylist()
    assert [tuple(r.values()) for r in rejects] == [(D1, "a.csv", 3, "2")]


def test_a_file_that_lacks_a_required_column_does_not_keep_its_neighbours_out(shop):
    shop.drop(D1, "a.csv", b"id\n1\n")
    shop.drop(D1, "b.csv", csv("2,Bob"))
    assert rows(shop.load(D1)) == [("2", "Bob", "b.csv", 2, D1)]


@pytest.mark.parametrize("text", [b"See the wiki for these files\nAsk Ann\n", b"id;Full Name;Town\n1;Ann;Ulm\n"])
def test_a_refused_file_leaves_no_column(shop, text):
    shop.drop(D1, "a.csv", text)
    landed = shop.load(D1)
    assert (staged_rows(landed).column_names, landed.stage.new_columns) == (staged_rows(shop.load(D2)).column_names, [])
    assert staged_rejects(landed).num_rows == 1


def test_a_file_that_is_refused_before_its_end_is_known_by_all_its_bytes(shop, monkeypatch):
    monkeypatch.setattr("lakehouse_assets.landing.store._CHUNK_BYTES", 1000)
    data = bytes(range(256)) * 200
    shop.drop(D1, "a.csv", data)
    [file] = shop.load(D1).dates[D1].files
    assert (file.etag, file.size, file.rows_in) == (hashlib.md5(data).hexdigest(), len(data), 1)


def test_a_refused_file_takes_no_more_memory_than_a_good_one_and_the_lines_of_a_block(shop):
    import tracemalloc

    def peak(header):
        shop.drop(D1, "a.csv", header + b"\n" + b"1,a name of some length\n" * 100_000)
        tracemalloc.start()
        landed = shop.load(D1)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result, landed

    good, _ = peak(b"id,Full Name")
    refused, landed = peak(b"id,Whole Name")
    assert refused < good + 4 * 1024**2
    assert staged_rejects(landed)["rows"].to_pylist() == [100_000]


def test_a_table_without_files_has_its_columns(shop):
    assert staged_rows(shop.load(D1)).column_names == ["id", "full_name", "_source_file", "_source_etag", "_row_number", "_date"]


def test_columns_that_nobody_asked_for_are_reported(shop):
    shop.drop(D1, "a.csv", b"id,Full Name,E-Mail\n1,Ann,ann@example.org\n")
    assert shop.load(D1).stage.new_columns == ["e_mail"]


def test_rows_of_files_without_a_new_column_have_no_value_there(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", b"id,Full Name,E-Mail\n2,Bob,bob@example.org\n")
    assert staged_rows(shop.load(D1)).column("e_mail").to_pylist() == [None, "bob@example.org"]


def test_columns_in_another_order_are_the_same_columns(shop):
    shop.drop(D1, "a.csv", b"Full Name,id\nAnn,1\n")
    assert rows(shop.load(D1)) == [("1", "Ann", "a.csv", 2, D1)]


def test_nothing_is_replaced_where_nothing_differs(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    assert shop.load(D1).dates == {}


def test_only_the_rows_of_a_changed_file_are_replaced(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Anna"))
    assert replaced(shop.load(D1)) == {D1: {"a.csv"}}


def test_only_the_rows_of_a_changed_file_are_read(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Anna"))
    assert rows(shop.load(D1)) == [("1", "Anna", "a.csv", 2, D1)]


def test_the_rows_of_a_vanished_file_are_replaced_by_none(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.remove(D1, "a.csv")
    landed = shop.load(D1)
    assert (replaced(landed), rows(landed), landed.dates[D1].files) == ({D1: {"a.csv"}}, [], [])


def test_a_renamed_file_is_one_that_vanished_and_one_that_is_new(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.remove(D1, "a.csv")
    shop.drop(D1, "b.csv", csv("1,Ann"))
    assert replaced(shop.load(D1)) == {D1: {"a.csv", "b.csv"}}


def test_files_that_did_not_change_stay_among_what_the_partition_was_built_from(shop):
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Ann"))
    assert [f.name for f in shop.load(D1).dates[D1].files] == ["a.csv", "b.csv"]


def test_the_same_bytes_uploaded_again_replace_no_rows(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Ann"))
    landed = shop.load(D1)
    assert (replaced(landed), rows(landed)) == ({}, [])


def test_the_same_bytes_uploaded_again_are_read_once_only(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    assert shop.differences() == []


def test_the_same_bytes_uploaded_again_leave_the_fingerprint(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    before = shop.build(D1).dates[D1].fingerprint
    shop.drop(D1, "a.csv", csv("1,Ann"))
    assert shop.load(D1).dates[D1].fingerprint == before


def test_another_way_of_reading_replaces_all_rows_of_the_date(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    feed = replace(CUSTOMERS, format=Csv(encoding="latin-1"))
    assert replaced(shop.load(D1, feed=feed)) == {D1: None}


def test_a_file_that_vanishes_after_the_listing_keeps_its_rows_until_the_next_pass(shop):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Anna"))
    objects = shop.listing().objects
    shop.remove(D1, "a.csv")
    landed = shop.load(D1, objects=objects)
    assert (landed.unstable, replaced(landed)) == (["landing/shop/customers/2026-01-01/a.csv"], {})


def test_the_listing_goes_by_date_then_name(shop):
    for day, name in ((D2, "a.csv"), (D1, "c.csv"), (D1, "b.csv")):
        shop.drop(day, name, csv("1,Ann"))
    assert [(o.date, o.name) for o in shop.listing().objects] == [(D1, "b.csv"), (D1, "c.csv"), (D2, "a.csv")]


def test_the_listing_of_a_feed_leaves_out_those_whose_names_begin_alike(shop):
    other = Path(shop.root.path("landing", "shop", "customers_old", str(D1), "a.csv"))
    other.parent.mkdir(parents=True)
    other.write_bytes(csv("1,Ann"))
    listing = shop.listing()
    assert (listing.objects, listing.ignored) == ([], [])


@pytest.mark.parametrize("folder", ["yesterday", "2026-02-30", "20260101", "2026-1-1", "2026-W01-4"])
def test_a_file_in_a_folder_that_is_no_date_is_ignored_with_the_reason(shop, folder):
    shop.drop(folder, "a.csv", csv("1,Ann"))
    listing = shop.listing()
    reason = f"its folder {folder!r} is not a date (YYYY-MM-DD)"
    assert (listing.objects, listing.ignored) == ([], [(f"landing/shop/customers/{folder}/a.csv", reason)])


def test_a_file_dated_before_the_first_partition_is_ignored_with_the_reason(shop):
    shop.drop("2025-12-31", "a.csv", csv("1,Ann"))
    reason = "its date is before LAKEHOUSE_START_DATE (2026-01-01)"
    assert shop.listing().ignored == [("landing/shop/customers/2025-12-31/a.csv", reason)]


@pytest.mark.parametrize(
    "name", [".hidden.csv", "_SUCCESS", "a.csv.tmp", "a.csv.TMP", "a.csv.part", "a.crdownload", "a.filepart"]
)
def test_a_hidden_or_unfinished_file_is_passed_over_without_a_word(shop, name):
    shop.drop(D1, name, csv("1,Ann"))
    listing = shop.listing()
    assert (listing.objects, listing.ignored) == ([], [])


@pytest.mark.parametrize("name", ["a.temp.csv", "tmp.csv", "party.csv", "ä b%20c.csv", "it's.csv", "a"])
def test_a_file_may_have_any_other_name(shop, name):
    shop.drop(D1, name, csv("1,Ann"))
    assert [row[2] for row in rows(shop.load(D1))] == [name]


def unreadable(monkeypatch, *names, code=13):
    """Let files refuse to be opened, or folders to be listed."""
    opened, listed = Path.open, os.scandir

    def refuse(path):
        if Path(path).name in names:
            raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "open", lambda self, *how: refuse(self) or opened(self, *how))
    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or listed(path))


@pytest.mark.parametrize("code", [13, 5])
def test_a_file_that_can_not_be_read_keeps_no_other_back(shop, monkeypatch, caplog, code):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "b.csv", csv("2,Bob"))
    shop.drop(D2, "a.csv", csv("3,Cid"))
    with monkeypatch.context() as closed:
        unreadable(closed, "b.csv", code=code)
        landed = shop.build(D1, D2)
    assert [row[0] for row in rows(landed)] == ["1", "3"]
    assert landed.unreadable == ["landing/shop/customers/2026-01-01/b.csv"]
    assert "2026-01-01/b.csv is not loaded: " in caplog.text
    assert told(shop.differences()) == [(D1, ["b.csv"], [])]
    assert [row[0] for row in rows(shop.load(D1, D2))] == ["2"]


def test_what_stands_of_a_changed_file_stays_while_it_can_not_be_read(shop, monkeypatch):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.build(D1)
    shop.drop(D1, "a.csv", csv("1,Anna"))
    with monkeypatch.context() as closed:
        unreadable(closed, "a.csv")
        landed = shop.build(D1)
    assert (replaced(landed), [f.name for f in landed.dates[D1].files]) == ({}, ["a.csv"])
    assert rows(shop.load(D1)) == [("1", "Anna", "a.csv", 2, D1)]


def test_files_of_a_folder_that_can_not_be_listed_are_not_taken_for_gone(shop, monkeypatch):
    for day in (D1, D2):
        shop.drop(day, "a.csv", csv("1,Ann"))
        shop.drop(day, "part/b.csv", csv("2,Bob"))
    shop.build(D1, D2)
    for hidden in ("customers", str(D1), "part"):
        with monkeypatch.context() as closed:
            unreadable(closed, hidden)
            assert shop.differences() == []
            shop.remove(D2, "a.csv")
            seen = hidden != "customers"
            assert told(shop.differences()) == [(D2, [], ["a.csv"])] * seen
        shop.drop(D2, "a.csv", csv("1,Ann"))
        shop.build(D2)


def test_a_date_to_be_read_another_way_stays_as_it_is_while_part_of_it_can_not_be_read(shop, monkeypatch):
    shop.drop(D1, "a.csv", csv("1,Ann"))
    shop.drop(D1, "part/b.csv", csv("2,Bob"))
    shop.build(D1)
    shop.built[D1] = replace(shop.built[D1], content="its files")
    other = replace(CUSTOMERS, format=Csv(delimiter=";"))
    for hidden in ("part", "b.csv"):
        with monkeypatch.context() as closed:
            unreadable(closed, hidden)
            assert shop.load(D1, feed=other).dates == {}
    assert [d.whole for d in shop.differences(feed=other)] == [True]
