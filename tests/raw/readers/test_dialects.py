"""The same records in several dialects: what raw makes of each, and of what is in none."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json, Parquet, Xlsx
from lakehouse_assets.contracts.problems import gathered
from lakehouse_assets.contracts.provenance import DIALECT, ROW, SHEET
from lakehouse_assets.raw.readers import dialects
from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from tests.support.batches import settled
from tests.support.dialects import FILES, ORDERS, SAMPLES, TICKETS, columns
from tests.support.workbooks import workbook

DAY = date(2026, 2, 1)


def read(feed, text):
    """The rows, as dictionaries without what is NULL, and the rejects of a file."""
    data = text if isinstance(text, bytes) else text.encode()
    batches = settled(read_rows([data], feed, "x", len(data), DAY))
    rows = [{k: v for k, v in row.items() if v is not None} for b in batches for row in b.rows.to_pylist()]
    return rows, [reject for b in batches for reject in b.rejects.to_pylist()]


def same(value):
    """A value as what it means: 64.5000 is 64.5, and a list's items are compared likewise."""
    if isinstance(value, list | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: same(v) for key, v in items if key != "key"}
    if value is None or isinstance(value, bool):
        return value
    try:
        return same(json.loads(value)) if str(value).startswith(("[", "{")) else Decimal(str(value)).normalize()
    except InvalidOperation:
        return value


DIFFER = {"created_at", "fr_due_by", "duedate", "is_installed", "name", "capacity", "category_id"}
"""What silver has to bring together, and what one of the dialects lacks."""


@pytest.mark.parametrize("system", ["freshdesk", "magento", "odoo", "velib"])
def test_all_dialects_of_a_system_make_the_same_rows(system):
    made = {}
    for file, (feed, dialect) in FILES.items():
        if file.startswith(system):
            rows, rejects = read(feed, SAMPLES.joinpath(file).read_bytes())
            assert (rejects, {row[DIALECT] for row in rows}) == ([], {dialect}), file
            names = [name for name in feed.column_names if name not in DIFFER]
            made[file] = [{name: same(row.get(name)) for name in names} for row in rows]
    assert len(made) >= 2
    assert all(rows == next(iter(made.values())) for rows in made.values())


def test_what_no_column_asks_for_stays_under_its_own_name():
    [row, _], _ = read(TICKETS, SAMPLES.joinpath("freshdesk_v1.jsonl").read_bytes())
    assert (row["id"], row["id_2"], row["status_name"]) == ("501", "900501", "Open")
    [row, _], _ = read(ORDERS, SAMPLES.joinpath("magento_2.jsonl").read_bytes())
    assert (row["city"], row["billing_address"]) == ("Ulm", '{"postcode":"89073"}')
    [row, _], _ = read(ORDERS, SAMPLES.joinpath("magento_1.jsonl").read_bytes())
    assert (row["key"], row["addresses"]) == ("11", '[{"address_type":"billing","postcode":"89073"}]')
    assert json.loads(row["items"])[1] == {"key": "1", "sku": "BELL-2", "qty_ordered": "3.0000"}


def test_a_null_and_a_key_that_is_left_out_make_the_same_row():
    given, left_out = (read(TICKETS, SAMPLES.joinpath(f"freshdesk_v2{n}.jsonl").read_bytes())[0] for n in ("", "_without_nulls"))
    assert given == left_out


THINGS = Feed(
    "shop/things",
    columns("id", "size", optional=("note",)),
    Json(),
    dialects=(
        Dialect("old", unwrap="thing", columns={"size": "dimensions.0", "note": "texts.note"}),
        Dialect("new", told_by=("id", "size")),
        Dialect("sparse", told_by=("id", "client"), omits_nulls=True),
    ),
)


@pytest.mark.parametrize(
    ("record", "row"),
    [
        ({"id": 1, "size": 2}, {DIALECT: "new", "id": "1", "size": "2"}),
        ({"ID": 1, "Size": 2}, {DIALECT: "new", "id": "1", "size": "2"}),
        ({"id": 1, "client": "x"}, {DIALECT: "sparse", "id": "1", "client": "x"}),
        ({"id": 1, "client": "x", "size": None}, {DIALECT: "sparse", "id": "1", "client": "x"}),
        ({"thing": {"id": 1, "dimensions": [2]}}, {DIALECT: "old", "id": "1", "size": "2"}),
        ({"thing": {"id": 1, "dimensions": [2, 3]}}, {DIALECT: "old", "id": "1", "size": "2", "dimensions": "[null,3]"}),
        ({"thing": {"id": 1, "dimensions": [2], "texts": None}}, {DIALECT: "old", "id": "1", "size": "2"}),
        ({"thing": {"id": 1, "dimensions": [2], "texts": {}}}, {DIALECT: "old", "id": "1", "size": "2"}),
        ({"thing": {"id": 1, "dimensions": [2], "texts": {"note": "x"}}}, {DIALECT: "old", "id": "1", "size": "2", "note": "x"}),
        ({"thing": {"id": 1, "dimensions.0": 2}}, {DIALECT: "old", "id": "1", "size": "2"}),
        (
            {"thing": {"id": 1, "dimensions": [2], "texts": {"note": "x"}, "texts_note": "y"}},
            {DIALECT: "old", "id": "1", "size": "2", "note": "x", "texts_note": "y"},
        ),
        ({"thing": {"id": 1, "dimensions": [2], "size": 9}}, {DIALECT: "old", "id": "1", "size": "2", "size_2": "9"}),
        ({"thing": {"id": 1, "dimensions": [2]}, "id": 8}, {DIALECT: "old", "id": "1", "size": "2", "id_2": "8"}),
        ({"thing": {"id": 1, "dimensions": [{"x": [1]}]}}, {DIALECT: "old", "id": "1", "size": '{"x":[1]}'}),
    ],
    ids=str,
)
def test_a_record_shows_by_itself_in_which_dialect_it_is_written(record, row):
    assert read(THINGS, json.dumps(record)) == ([{**row, ROW: 1}], [])


def test_numbers_of_any_length_are_keys_of_a_list():
    listed = replace(THINGS, dialects=(Dialect("any", ("id",), lists=("note",)),))
    long = "9" * 5_000
    rows, rejects = read(listed, json.dumps({"id": 1, "size": 2, "note": {long: "c", "010": "b", "9": "a"}}))
    assert ([row["note"] for row in rows], rejects) == (['["a","b","c"]'], [])
    assert read(listed, '{"id":1,"size":2,"note":{"１":2}}')[0][0]["note"] == '{"１":2}'


def test_objects_of_many_keys_are_not_kept():
    dialects._known_key.cache_clear()
    for count, kept in ((dialects._MOST_KNOWN, 1), (dialects._MOST_KNOWN + 1, 1)):
        assert dialects._key(tuple(f"K{n}" for n in range(count)), "k7") == "K7"
        assert dialects._known_key.cache_info().currsize == kept


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"name": "x"},
            "the record is of no dialect of the feed (old has thing; new has id, size; sparse has id, client): it has name;",
        ),
        ({}, "it has nothing;"),
        ({"id": 1, "size": None}, "it has id, size;"),
        ({"thing": [1]}, "the record is of the dialect old, but its thing is not an object"),
        ({"thing": {}, "other": 1}, None),
    ],
    ids=str,
)
def test_a_record_of_no_dialect_is_quarantined_and_its_neighbours_load(record, message):
    rows, rejects = read(THINGS, f'{{"id":1,"size":2}}\n{json.dumps(record)}\n{{"thing":{{"id":3,"dimensions":[4]}}}}\n')
    assert [row["id"] for row in rows if "id" in row] == ["1", "3"]
    assert [(r["row_number"], r["rule"], r["payload"]) for r in rejects] == (
        [(2, "row_is_of_a_dialect", json.dumps(record))] if message else []
    )
    assert all(message in r["reason"] for r in rejects)


def test_a_file_of_no_dialect_is_quarantined_as_a_whole():
    [], [reject] = read(THINGS, '{"name":"x"}\n{"name":"y"}\n')
    assert (reject["rule"], reject["row_number"], reject["rows"]) == ("file_is_of_a_dialect", None, 2)
    assert (
        "no row of the file is in a dialect: row 1: the record is of no dialect of the feed (old has thing;" in reject["reason"]
    )
    tight = replace(THINGS, format=Csv())
    [], [reject] = read(tight, "nr,weight\n1,2\n3,4\n")
    assert (reject["rule"], reject["row_number"], reject["rows"]) == ("file_is_of_a_dialect", None, 2)
    assert (
        "the header is of no dialect of the feed (old has thing; new has id, size; sparse has id, client): it has nr, weight;"
        in (reject["reason"])
    )


@pytest.mark.parametrize(
    ("feed", "text", "message"),
    [
        (THINGS, '{"thing":{"id":1}}\n', "the file lacks the required column dimensions.0 of the dialect old"),
        (THINGS, '{"id":1,"size":2}\n{"thing":{"id":1}}\n', "the file lacks the required column dimensions.0 of the dialect old"),
        (THINGS, '{"thing":{"id":1,"dims":[2]}}\n', "and has instead: dims; if one of these is a missing one renamed, add the new name "
         "of that column to the dialect in the feed: Dialect('old', ..., columns={'column': 'new name'})"),
        (replace(THINGS, format=Csv(), dialects=(Dialect("labels", ("Nr",), {"id": "Nr", "size": "Size (cm)"}),)), "Nr,Length\n1,2\n",
         "the file lacks the required column Size (cm) of the dialect labels and has instead: Length;"),
    ],
)  # fmt: skip
def test_a_missing_required_column_still_costs_the_file(feed, text, message):
    [], [reject] = read(feed, text)
    assert reject["rule"] == "file_has_required_columns"
    assert message in reject["reason"]


def test_another_delimiter_is_told_in_a_dialect_too():
    feed = replace(THINGS, format=Csv())
    [], [reject] = read(feed, "id;size\n1;2\n")
    assert (reject["rule"], "format=Csv(delimiter=';')" in reject["reason"]) == ("file_is_of_a_dialect", True)


def test_a_field_never_takes_a_name_that_the_dialect_gives_another():
    feed = replace(THINGS, format=Csv(), dialects=(Dialect("labels", ("Nr",), {"id": "Nr", "note": "Remark"}),))
    rows, _ = read(feed, "Nr,ID,Size,Note\n1,2,3,x\n")
    assert rows == [{"id": "1", "id_2": "2", "size": "3", "note_2": "x", DIALECT: "labels", ROW: 2}]


def test_the_plan_asks_for_no_column_that_a_dialect_leaves_out():
    data = b'{"id":1,"client":"x"}\n'
    assert THINGS.missing(read_header([data], THINGS, "x", len(data), DAY)) == []
    data = b'{"thing":{"id":1}}\n'
    assert [c.name for c in THINGS.missing(read_header([data], THINGS, "x", len(data), DAY))] == ["size"]


@pytest.mark.parametrize(
    ("dialects", "fault"),
    [
        ((Dialect("a"),), "dialect 'a': nothing tells it: name values that each of its records has (told_by)"),
        ((Dialect("a", "id"),), "dialect 'a': told_by 'id' is a text, not names: write ('id',)"),
        ((Dialect("a", ("id",), {"sise": "x"}),), "dialect 'a': 'sise' is not a column of the feed (did you mean 'size'?)"),
        ((Dialect("a", ("id",), {"size": "x", "note": "X"}),), "dialect 'a': 'x' is two columns; 'X' is two columns"),
        ((Dialect("a", ("id",), {"size": "x..y"}),), "dialect 'a': 'x..y' is not a name or path"),
        ((Dialect("a", ("id",)), Dialect("a", ("nr",))), "dialect 'a' is declared twice"),
        (
            (Dialect("a", ("id",)), Dialect("b", ("size", "ID"))),
            "dialect 'b' is never met: each of its records is of 'a', which is listed before it",
        ),
    ],
)
def test_a_mistake_is_a_line_when_feeds_load(dialects, fault):
    with gathered() as problems:
        replace(THINGS, dialects=dialects)
    assert "; ".join(problem.removeprefix("Feed shop/things: ").removesuffix(".") for problem in problems).replace(
        "; dialect 'a': 'X'", "; 'X'"
    ) == fault  # fmt: skip


def test_dialects_are_part_of_the_digest_and_a_feed_without_any_keeps_its_own():
    plain = Feed("shop/things", (SourceColumn("id", ""), SourceColumn("note", "", also=("text",), required=False)), Json())
    assert plain.digest() == "f188e8da2e6195bf"
    declared = Dialect("old", unwrap="thing", columns={"id": "nr"})
    changes = (
        {"name": "new"},
        {"unwrap": "x"},
        {"columns": {"id": "no"}},
        {"told_by": ("y",)},
        {"lists": ("z",)},
        {"omits_nulls": True},
    )
    digests = {replace(plain, dialects=(d,)).digest() for d in (declared, *(replace(declared, **change) for change in changes))}
    assert len({*digests, plain.digest()}) == 8


def test_a_refusal_comes_before_any_row_of_a_header_of_no_dialect():
    with pytest.raises(RefusedFileError):
        next(read_rows([b"nr,weight\n1,2\n"], replace(THINGS, format=Csv()), "x", 12, DAY))


def parquet(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_a_dialect_is_the_same_in_all_formats():
    feed = replace(
        THINGS,
        format=(Json(), Csv(), Parquet(), Xlsx()),
        dialects=(Dialect("labels", ("Nr",), {"id": "Nr", "size": "Size (cm)"}),),
    )
    row = {"id": "1", "size": "2", DIALECT: "labels"}
    for data, number in (
        (b'{"Nr":1,"Size (cm)":2}\n', 1),
        (b'[{"Nr":1,"Size (cm)":2}]', 1),
        (b"Nr,Size (cm)\n1,2\n", 2),
        (parquet(pa.table({"Nr": [1], "Size (cm)": [2]})), 1),
    ):
        assert read(feed, data) == ([{**row, ROW: number}], [])
    book = workbook({"one": [["Nr", "Size (cm)"], [1, 2]], "two": [["Number", "Size"], [1, 2]]})
    [outcome], [reject] = read(feed, book)
    assert (outcome, reject["rule"], reject["place"]) == ({**row, ROW: 2, SHEET: "one"}, "sheet_is_of_a_dialect", "two")
    for data in (b"Number,Size\n1,2\n", parquet(pa.table({"Number": [1], "Size": [2]})), b'[{"Number":1,"Size":2}]'):
        [], [reject] = read(feed, data)
        assert reject["rule"] == "file_is_of_a_dialect"


@pytest.mark.parametrize("records", ["#", "orders.#"])
def test_an_object_keyed_by_number_is_a_row_for_each_number(records):
    lines = SAMPLES.joinpath("magento_1.jsonl").read_text().splitlines()
    document = "{" + ", ".join(line[1:-1] for line in lines) + "}"
    feed = replace(ORDERS, format=Json(records=records))
    rows, rejects = read(feed, document if records == "#" else f'{{"orders": {document}, "total": 2}}')
    assert rejects == []
    assert rows == read(ORDERS, "\n".join(lines))[0]
    rows, [reject] = read(feed, (document if records == "#" else f'{{"orders": {document}')[:-20])
    assert ([row["increment_id"] for row in rows], reject["rule"]) == (["000000011"], "document_is_complete")
