"""Rows flow from landing to data files in bounded pieces, and a commit changes only the data files that it must."""

import gzip
import hashlib
import json
from datetime import date
from itertools import pairwise

import pytest

from lakehouse_assets.books import quarantine
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.delta import data_files
from lakehouse_assets.delta.tables import live_files, open_table
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.raw import load, stage, write
from lakehouse_assets.raw.readers import csv, jsonl, text
from tests.raw.test_duplicates import BROKEN, D1, D2, LACKING, ONE, OTHER, Shop

LINES = [f"{n},{n}0" for n in range(500)]
LONG = "\n".join(["id,total", *LINES, ""]).encode()
JSON_LINES = Feed("shop/orders", (SourceColumn("id", ""), SourceColumn("total", "")), format=Json())


@pytest.fixture
def shop(root):
    return Shop(root)


@pytest.fixture
def tiny(monkeypatch):
    """All pieces are tiny, so that each file is many of them, and read twice."""
    monkeypatch.setattr(load, "_SMALL_BYTES", 0)
    monkeypatch.setattr(stage, "_BYTES_IN_MEMORY", 100)
    monkeypatch.setattr(data_files, "_ROW_GROUP_BYTES", 1_000)
    monkeypatch.setattr(data_files, "_FILE_BYTES", 4_000)
    monkeypatch.setattr(quarantine, "_BYTES_AT_ONCE", 1_000)
    monkeypatch.setattr(text, "_BLOCK_BYTES", 50)
    monkeypatch.setattr(csv, "_BATCH_RECORDS", 20)
    monkeypatch.setattr(jsonl, "_BATCH_ROWS", 10)
    monkeypatch.setattr("lakehouse_assets.landing.store._CHUNK_BYTES", 70)


def files(shop, day=D1):
    table = open_table(shop.root.table("raw", "shop_orders"))
    return {f["path"]: f["num_records"] for f in live_files(table) if f["date"] == day}


def stored(shop):
    """The data files below the table's folder, committed or not."""
    return {path.removeprefix("raw/shop_orders/") for path, _ in shop.root.files("raw/shop_orders") if path.endswith(".parquet")}


def ids(shop):
    return sorted((row[1], row[2], row[3]) for row in shop.rows())


def test_small_files_of_a_date_share_a_data_file(shop):
    for number in range(20):
        shop.drop(D1, f"{number}.csv", b"id,total\n%d,1\n" % number)
    shop.drop(D2, "a.csv", ONE)
    shop.build()
    assert (list(files(shop).values()), list(files(shop, D2).values())) == ([20], [2])


def test_a_long_file_is_many_row_groups_and_data_files_and_loses_nothing(shop, tiny):
    shop.drop(D1, "a.csv", LONG)
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    assert len(files(shop)) > 2
    assert [row[2:5] for row in shop.rows() if row[1] == "a.csv"] == [(n, *line.split(",")) for n, line in enumerate(LINES, 2)]
    assert {row[5] for row in shop.rows() if row[1] == "a.csv"} == {hashlib.md5(LONG).hexdigest()}
    assert shop.accounts() == {D1: (502, 502, 0, 0)}


def test_the_rejects_of_a_long_file_come_to_quarantine_in_many_pieces(shop, tiny):
    shop.drop(D1, "a.csv", b"id,total\n" + b"1\n2,2\n" * 300)
    shop.build()
    assert shop.accounts() == {D1: (600, 300, 300, 0)}
    assert sorted(row[2] for row in shop.rejects()) == list(range(2, 602, 2))
    assert open_table(quarantine.Quarantine(shop.root).uri).version() > 2


def damaged(data: bytes) -> bytes:
    return gzip.compress(data)[:-4]


def last_line_decides(data: bytes) -> bytes:
    rows = [dict(zip(("id", "other"), line.split(","), strict=True)) for line in data.decode().splitlines()[1:]]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("name", "data", "feed", "rule"),
    [
        ("a.csv.gz", damaged(LONG), None, "file_unpacks"),
        ("a.jsonl", last_line_decides(LONG), JSON_LINES, "file_has_required_columns"),
    ],
)
@pytest.mark.parametrize("size", ["tiny", "usual"])
def test_a_file_that_is_refused_after_its_first_rows_leaves_one_entry_and_nothing_else(
    shop, name, data, feed, rule, size, request
):
    if size == "tiny":
        request.getfixturevalue("tiny")
    shop.drop(D1, name, data)
    shop.build(*([feed] if feed else []))
    assert (shop.rows(), [r[1:] for r in shop.rejects()]) == ([], [(name, None, rule)])
    assert (files(shop), stored(shop)) == ({}, set())
    [record] = shop.records().values()
    assert record.adds_up


def test_packed_files_are_loaded_under_the_hash_of_their_bytes(shop):
    packed = gzip.compress(ONE)
    shop.drop(D1, "a.csv.gz", packed)
    shop.drop(D1, "b.csv.gz", packed)
    shop.drop(D1, "c.csv", ONE)
    shop.build()
    assert {(row[1], row[5]) for row in shop.rows()} == {
        ("a.csv.gz", hashlib.md5(packed).hexdigest()),
        ("c.csv", hashlib.md5(ONE).hexdigest()),
    }
    assert shop.accounts() == {D1: (6, 4, 0, 2)}


def test_only_data_files_that_hold_rows_of_a_changed_or_deleted_file_are_written_again(shop):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", OTHER)
    shop.build()
    [first] = files(shop)
    shop.drop(D1, "c.csv", BROKEN)
    shop.drop(D2, "a.csv", ONE)
    shop.build()
    [second], other_date = files(shop).keys() - {first}, files(shop, D2)
    shop.remove(D1, "b.csv")
    shop.build()
    assert first not in files(shop)
    assert second in files(shop)
    assert files(shop, D2) == other_date
    assert sorted(files(shop).values()) == [1, 2]
    assert {row[1] for row in shop.rows() if row[0] == D1} == {"a.csv", "c.csv"}
    shop.drop(D1, "c.csv", OTHER)
    before = files(shop)
    shop.build()
    assert len(files(shop).keys() & before.keys()) == 1
    assert ids(shop) == [("a.csv", 2, "1"), ("a.csv", 2, "1"), ("a.csv", 3, "2"), ("a.csv", 3, "2"), ("c.csv", 2, "3")]


def test_rows_with_new_columns_are_kept_when_their_data_file_is_written_again(shop):
    shop.drop(D1, "a.csv", b"id,total,Note\n1,10,hi\n")
    shop.drop(D1, "b.csv", ONE)
    shop.build()
    shop.remove(D1, "b.csv")
    shop.build()
    [row] = open_table(shop.root.table("raw", "shop_orders")).to_pyarrow_table().to_pylist()
    assert (row["_source_file"], row["_row_number"], row["note"]) == ("a.csv", 2, "hi")


def test_a_data_file_has_the_columns_of_those_before_it_and_new_ones_begin_another(shop, monkeypatch):
    monkeypatch.setattr(data_files, "_ROW_GROUP_BYTES", 1)
    for name, more in (("a.csv", ""), ("b.csv", "note"), ("c.csv", ""), ("d.csv", "town"), ("e.csv", "note")):
        shop.drop(D1, name, f"id,total{more and f',{more}'}\n{name},10{more and f',{more} of {name}'}\n".encode())
    shop.build()
    result = open_table(shop.root.table("raw", "shop_orders")).to_pyarrow_table().sort_by("_source_file")
    assert result["note"].to_pylist() == [None, "note of b.csv", None, None, "note of e.csv"]
    assert result["town"].to_pylist() == [None, None, None, "town of d.csv", None]
    assert sorted(files(shop).values()) == [1, 2, 2]


def test_commits_have_statistics_of_raw_data_files(shop, tiny):
    shop.drop(D1, "a.csv", LONG)
    shop.drop(D1, "b.csv", b"id,total\n" + b"x" * 200 + b",1\n,2\n")
    shop.build()
    result = live_files(open_table(shop.root.table("raw", "shop_orders")), bounds_of=["_source_file", "_row_number", "id"])
    by_file = {f["bounds"]["_source_file"] for f in result}
    assert by_file == {("a.csv", "a.csv"), ("b.csv", "b.csv")}
    [last] = [f["bounds"] for f in result if f["bounds"]["_source_file"][0] == "b.csv"]
    assert last["_row_number"] == ("2", "3")
    assert last["id"][0] == "x" * 64
    assert last["id"][1].startswith("x" * 64)
    of_a = sorted(tuple(map(int, f["bounds"]["_row_number"])) for f in result if f["bounds"]["_source_file"][0] == "a.csv")
    assert (of_a[0][0], of_a[-1][1]) == (2, 501)
    assert all(before[1] < after[0] for before, after in pairwise(of_a))


def test_a_file_with_a_header_only_brings_its_columns(shop):
    shop.drop(D1, "a.csv", b"id,total,Note\n")
    shop.build()
    assert "note" in [f.name for f in open_table(shop.root.table("raw", "shop_orders")).schema().fields]


def changing(monkeypatch, shop, *, times):
    """Let a.csv change right before each of its reads, so many times from the second on."""
    read, reads = Landing.read, []

    def changed(self, result):
        if result.name == "a.csv":
            reads.append(result)
            if 1 < len(reads) <= times + 1:
                shop.drop(D1, "a.csv", ONE + b"%d,0\n" % len(reads))
        return read(self, result)

    monkeypatch.setattr(Landing, "read", changed)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_long_file_that_changes_between_its_reads_is_read_again(shop, tiny, monkeypatch, times):
    shop.drop(D1, "a.csv", ONE)
    shop.drop(D1, "b.csv", OTHER)
    with monkeypatch.context() as context:
        changing(context, shop, times=times)
        shop.build()
    assert all(record.adds_up for record in shop.records().values())
    assert stored(shop) == set(files(shop))
    shop.build()
    assert [row[3] for row in shop.rows() if row[1] == "a.csv"] == ["1", "2", str(times + 1)]
    assert shop.accounts() == {D1: (4, 4, 0, 0)}


@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize("data", [LONG, LACKING * 50], ids=["sound", "refused"])
def test_a_long_file_that_vanishes_between_its_reads_leaves_nothing(shop, tiny, monkeypatch, pieces, data):
    read, reads = Landing.read, []

    def vanishing(self, result):
        if result.name == "a.csv":
            reads.append(result)
        for number, piece in enumerate(read(self, result)):
            if result.name == "a.csv" and len(reads) > 1 and number == pieces:
                raise FileNotFoundError
            yield piece

    shop.drop(D1, "a.csv", data)
    shop.drop(D1, "b.csv", ONE)
    monkeypatch.setattr(Landing, "read", vanishing)
    written = shop.build()
    assert written.metadata["files_still_changing"] == "landing/shop/orders/2026-01-01/a.csv"
    assert (shop.accounts(), shop.rejects(), stored(shop)) == ({D1: (2, 2, 0, 0)}, [], set(files(shop)))


def test_a_long_file_that_never_stops_changing_keeps_its_rows_and_no_other_file_back(shop, tiny, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    shop.drop(D1, "a.csv", OTHER)
    shop.drop(D1, "b.csv", BROKEN)
    with monkeypatch.context() as context:
        changing(context, shop, times=100)
        written = shop.build()
    assert written.metadata["files_still_changing"] == "landing/shop/orders/2026-01-01/a.csv"
    assert [row[1:4] for row in shop.rows()] == [("a.csv", 2, "1"), ("a.csv", 3, "2"), ("b.csv", 2, "4")]
    assert stored(shop) == set(files(shop))


def test_a_row_outside_the_dates_of_the_run_is_refused(shop, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    begin = stage.Stage.begin
    monkeypatch.setattr(stage.Stage, "begin", lambda self, day: begin(self, date(2026, 1, 3)))
    with pytest.raises(PartitionGuardError, match="nothing was written"):
        shop.build()
    assert (stored(shop), shop.records()) == (set(), {})


def test_another_writer_of_other_dates_costs_no_second_load(shop, monkeypatch):
    shop.drop(D1, "a.csv", ONE)
    shop.build()
    shop.drop(D1, "b.csv", OTHER)
    commit, lands = write.commit_files, []
    landing = write.land

    def overtaken(table, *args, **kwargs):
        monkeypatch.setattr(write, "commit_files", commit)
        other = Shop(shop.root)
        other.drop(D2, "a.csv", ONE)
        write.load_partitions(Feed("shop/orders", JSON_LINES.columns, format=Csv()), other_target(other), D1)
        return commit(table, *args, **kwargs)

    def other_target(other):
        return write.Target(other.root, "raw", "shop_orders", [D2], "other", shop.target().log)

    monkeypatch.setattr(write, "land", lambda *given: (lands.append(given[1].run_id), landing(*given))[1])
    monkeypatch.setattr(write, "commit_files", overtaken)
    shop.build()
    assert lands == [f"run-{shop.runs}", "other"]
    assert shop.accounts() == {D1: (3, 3, 0, 0), D2: (2, 2, 0, 0)}
