"""The last line of a file as its control total: it is no row, and it is read wherever the bytes are cut."""

import gzip
import json
from datetime import date

import pytest

from lakehouse_assets.contracts.deliveries import Trailer
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.contracts.provenance import ROW
from lakehouse_assets.raw.readers.formats import read_header, read_rows

COLUMNS = (SourceColumn("id", ""), SourceColumn("name", ""))
DAY = date(2026, 2, 1)
TRAILER = Trailer(r"T[;,](?P<rows>\d+)")
CSV = Feed("shop/orders", COLUMNS, Csv(";"), totals=TRAILER)


def read(data, feed=CSV, size=None, name="a.csv"):
    """The rows of a file with their numbers, its rejects, and what its trailer says; read in pieces of `size` bytes."""
    messages = []
    pieces = [data[n : n + size] for n in range(0, len(data), size)] if size else [data]
    batches = list(read_rows(pieces, feed, name, len(data), DAY, messages.append))
    rows = [(row[ROW], row["id"], row["name"]) for batch in batches for row in batch.rows.to_pylist()]
    return rows, [r["row_number"] for b in batches for r in b.rejects.to_pylist()], messages


ROWS = [(2, "1", "Jo"), (3, "2", "Yang")]
TEXT = "id;name\n1;Jo\n2;Yang\n"


@pytest.mark.parametrize("end", ["T;2", "T;2\n", "T;2\r\n", "T;2\n\n  \n", "T,2 "])
def test_a_trailer_is_not_a_row(end):
    assert read((TEXT + end).encode()) == (ROWS, [], [2])


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8-sig", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("size", [None, 1, 3, 7])
def test_a_trailer_is_found_in_any_encoding_and_any_pieces(encoding, declared, size):
    feed = Feed("shop/orders", COLUMNS, Csv(";", declared), totals=TRAILER)
    text = "id;name\r\n1;Jö\r\n2;Yang\r\nT;2\r\n"
    assert read(text.encode(encoding), feed, size) == ([(2, "1", "Jö"), (3, "2", "Yang")], [], [2])


@pytest.mark.parametrize("rows", [5_000, 20_000])
def test_a_large_file_loses_its_last_line_only(rows):
    text = "id;name\n" + "".join(f"{n};name of {n}\n" for n in range(rows)) + f"T;{rows}\n"
    outcome, rejects, message = read(text.encode(), size=10_000)
    assert (len(outcome), outcome[-1], rejects, message) == (rows, (rows + 1, str(rows - 1), f"name of {rows - 1}"), [], [rows])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_characters_of_two_bytes_are_never_cut(encoding):
    feed = Feed("shop/orders", COLUMNS, Csv(";", "utf-8" if encoding == "utf-16" else encoding), totals=TRAILER)
    text = "id;name\n" + "".join(f"{n};Jö\n" for n in range(8_000)) + "T;8000\n"
    outcome, rejects, message = read(text.encode(encoding), feed, size=9_999)
    assert (len(outcome), outcome[-1][1:], rejects, message) == (8_000, ("7999", "Jö"), [], [8_000])


def test_a_file_without_a_trailer_is_loaded_and_told_of():
    assert read(TEXT.encode()) == (ROWS, [], [None])


def test_a_line_that_only_resembles_a_trailer_is_a_row():
    assert read((TEXT + "T;two\n").encode()) == ([*ROWS, (4, "T", "two")], [], [None])
    assert read((TEXT + "T;2\n3;Ng\n").encode()) == ([*ROWS, (4, "T", "2"), (5, "3", "Ng")], [], [None])


def test_a_packed_file_has_its_trailer_within():
    assert read(gzip.compress((TEXT + "T;2\n").encode()), name="a.csv.gz") == (ROWS, [], [2])


def test_json_lines_may_end_with_a_trailer():
    feed = Feed("shop/orders", COLUMNS, Json(), totals=Trailer(r'\{"total": (?P<rows>\d+)\}'))
    lines = [{"id": 1, "name": "Jo"}, {"id": 2, "name": "Yang"}, {"total": 2}]
    data = "\n".join(map(json.dumps, lines)).encode()
    assert read(data, feed) == ([(1, "1", "Jo"), (2, "2", "Yang")], [], [2])
    assert read_header([data], feed, "a.jsonl", len(data), DAY) == ["id", "name"]
