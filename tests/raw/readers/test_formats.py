"""A feed of several formats: the bytes of a file say in which it is. And delimited files without a header line."""

import gzip
import io
import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Header, Json, Parquet, Xlsx
from lakehouse_assets.errors import ContractError
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from tests.support.batches import settled
from tests.support.workbooks import workbook

DAY = date(2026, 1, 1)
COLUMNS = (SourceColumn("id", ""), SourceColumn("name", ""))
ANY = Feed("shop/things", COLUMNS, format=(Csv(delimiter=";"), Json(records="results"), Xlsx(), Parquet()))


def read(data, feed=ANY, name="a", day=DAY):
    batches = settled(read_rows([data], feed, name, len(data), day))
    rows = [(row.get("id"), row.get("name")) for b in batches for row in b.rows.to_pylist()]
    return rows, [reject for b in batches for reject in b.rejects.to_pylist()]


def parquet():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "name": ["Ann", "Bob"]}), buffer)
    return buffer.getvalue()


RECORDS = [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]
FILES = {
    "csv": b"id;name\n1;Ann\n2;Bob\n",
    "xlsx": workbook({"A": [["id", "name"], [1, "Ann"], [2, "Bob"]]}),
    "parquet": parquet(),
    "lines": "\n".join(map(json.dumps, RECORDS)).encode(),
    "array": json.dumps(RECORDS).encode(),
    "envelope": b"\n " + json.dumps({"results": RECORDS}).encode("utf-8"),
    "UTF-16": b"\xff\xfe" + json.dumps(RECORDS).encode("utf-16-le"),
}
PACKED = {
    "": lambda data: data,
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("name", ["a.csv", "no name of a format"])
def test_a_file_of_any_format_is_told_by_its_bytes_and_has_the_same_rows(data, pack, name):
    packed = pack(data)
    assert read(packed, name=name) == ([("1", "Ann"), ("2", "Bob")], [])
    assert read_header([packed], ANY, name, len(packed), DAY) == ["id", "name"]


@pytest.mark.parametrize(
    ("formats", "file", "kind"),
    [
        (Csv(), "xlsx", "Xlsx()"),
        (Json(), "xlsx", "Xlsx()"),
        ((Csv(), Xlsx()), "parquet", "Parquet()"),
        (Parquet(), "xlsx", "Xlsx()"),
    ],
)
def test_a_file_in_a_format_that_the_feed_does_not_take_says_what_to_declare(formats, file, kind):
    [reject] = read(FILES[file], Feed("shop/things", COLUMNS, format=formats))[1]
    assert (reject["rule"], reject["row_number"]) == ("file_has_declared_format", None)
    assert f"or add {kind} to the formats of the feed" in reject["reason"]
    assert read_header([FILES[file]], Feed("shop/things", COLUMNS, format=formats), "a", 1, DAY) == []


@pytest.mark.parametrize("data", [b"", b"id,name\n1,Ann\n", b"\0\1\2"])
@pytest.mark.parametrize("form", [Xlsx(), Parquet()])
def test_a_text_or_an_empty_file_is_no_workbook_and_no_parquet(form, data):
    [reject] = read(data, Feed("shop/things", COLUMNS, format=form))[1]
    assert reject["rule"] == "file_has_declared_format"


@pytest.mark.parametrize("name", [b"PAR1", b"PAR1.b", b"PAR1-b", b"PAR1 b", b'PAR1"', b"PARE(b)", "PAR1ü".encode()])
def test_a_csv_file_whose_first_column_begins_with_par1_is_one(name):
    feed = Feed("shop/things", (SourceColumn("b", ""),), format=(Csv(), Parquet()))
    [batch] = read_rows([name + b",b\n1,2\n"], feed, "a", 11, DAY)
    assert batch.rows.column("b").to_pylist() == ["2"]


def test_json_in_a_feed_of_csv_alone_is_csv():
    [reject] = read(FILES["array"], Feed("shop/things", COLUMNS))[1]
    assert reject["rule"] == "file_has_required_columns"


OLD, NEW = Header(("id", "name")), Header(("name", "note", "id"), since=date(2026, 3, 1))
POSITIONS = Feed("shop/things", COLUMNS, format=Csv(headers=(NEW, OLD)))


@pytest.mark.parametrize(
    ("day", "data", "rows"),
    [
        (date(2026, 1, 1), b"1,Ann\n2,Bob\n", [("1", "Ann"), ("2", "Bob")]),
        (date(2026, 2, 28), b'1,"Ann\nBob"', [("1", "Ann\nBob")]),
        (date(2026, 3, 1), b"Ann,,1\nBob,x,2", [("1", "Ann"), ("2", "Bob")]),
        (date(2026, 1, 1), b"", []),
    ],
)
def test_without_a_header_columns_go_by_their_position_as_agreed_on_that_date(day, data, rows):
    assert read(data, POSITIONS, day=day) == (rows, [])


def test_without_a_header_the_first_line_is_a_row_and_a_misfit_costs_only_itself():
    batches = settled(read_rows([b"1,Ann\n2,Bob,x\n3,Cid\n4,D\0n\n"], POSITIONS, "a", 9, DAY))
    assert [row["_row_number"] for b in batches for row in b.rows.to_pylist()] == [1, 3]
    rejects = [reject for b in batches for reject in b.rejects.to_pylist()]
    assert sorted((r["row_number"], r["rule"]) for r in rejects) == [(2, "row_has_all_fields"), (4, "row_has_no_nul")]


def test_without_a_header_a_binary_file_is_one_entry():
    [reject] = read(b"\0\1\2\3" * 1_000, POSITIONS)[1]
    assert (reject["rule"], reject["row_number"]) == ("file_is_text", None)


def test_a_file_from_before_the_first_header_is_refused_and_says_what_to_declare():
    feed = Feed("shop/things", COLUMNS, format=Csv(headers=(NEW,)))
    [reject] = read(b"1,Ann\n", feed)[1]
    assert reject["rule"] == "file_has_header"
    assert "the feed declares no columns for files of 2026-01-01: give it a header" in reject["reason"]


def test_mistakes_in_formats_are_found_when_they_are_declared():
    def declared(form):
        return Feed("shop/things", COLUMNS, format=form)

    with pytest.raises(ContractError, match=r"the format Csv is given more than once"):
        declared((Csv(), Csv(delimiter=";")))
    with pytest.raises(ContractError, match="it has no format"):
        declared(())
    with pytest.raises(ContractError, match="the header id, note lacks the column name"):
        declared(Csv(headers=(Header(("id", "note")),)))
    with pytest.raises(ContractError, match="two of the headers begin on the same date"):
        Csv(headers=(Header(("id",)), Header(("name",))))


def test_each_declaration_has_a_digest_of_its_own():
    forms = [
        Csv(),
        Csv(headers=(OLD,)),
        Csv(headers=(OLD, NEW)),
        Json(),
        Json(records="a"),
        Xlsx(),
        Xlsx(("A",)),
        (Csv(), Xlsx()),
    ]
    assert len({Feed("shop/things", COLUMNS, format=form).digest() for form in forms}) == len(forms)
    assert Feed("shop/things", COLUMNS, format=(Csv(),)).digest() == Feed("shop/things", COLUMNS).digest()
