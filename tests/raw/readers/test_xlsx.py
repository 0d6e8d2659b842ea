"""Excel workbooks: the outcomes of docs/what-arrives.md."""

import csv
import io
import re
import zipfile
from datetime import date, datetime, time, timedelta

import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Xlsx
from lakehouse_assets.contracts.provenance import ROWS_PER_SHEET
from lakehouse_assets.errors import ContractError
from lakehouse_assets.raw.readers import xlsx
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from tests.support.batches import settled
from tests.support.workbooks import replaced, workbook

DAY = date(2026, 1, 1)
TABLE = [["id", "Full Name"], [1, "Ann"], [2, "Bob"]]
SHEET = "xl/worksheets/sheet1.xml"


def feed(*required, formats=None, **form):
    return Feed("shop/things", [SourceColumn(name, name) for name in required], format=formats or Xlsx(**form))


def read(data, like=None, piece=10**9, **form):
    pieces = (data[n : n + piece] for n in range(0, len(data), piece))
    batches = settled(read_rows(pieces, like or feed(**form), "a", len(data), DAY))
    return [row for b in batches for row in b.rows.to_pylist()], [reject for b in batches for reject in b.rejects.to_pylist()]


def entry(data, like=None, **form):
    rows, [reject] = read(data, like, **form)
    assert (rows, reject["row_number"]) == ([], None)
    return reject


def test_a_sheet_has_the_rows_of_the_same_table_as_csv_under_the_same_numbers():
    table = [
        ["id", "Amount", "on", "at", "is", "note", "empty"],
        [1, 1.10, date(2026, 1, 5), datetime(2026, 1, 5, 10, 30, 15), True, 'say "hi",\nü😀', None],
        [12345678901, -0.5, date(1900, 3, 1), datetime(2026, 1, 6), False, " 007 ", None],
        [1e15, 0.1 + 0.2, date(9999, 12, 31), datetime(2026, 1, 7, 23, 59, 59, 120000), True, "1.10", None],
    ]
    texts = [
        table[0],
        ["1", "1.1", "2026-01-05", "2026-01-05 10:30:15", "TRUE", 'say "hi",\nü😀', ""],
        ["12345678901", "-0.5", "1900-03-01", "2026-01-06 00:00:00", "FALSE", " 007 ", ""],
        ["1000000000000000", "0.3", "9999-12-31", "2026-01-07 23:59:59.12", "TRUE", "1.10", ""],
    ]
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(texts)
    both = feed("id", formats=(Csv(), Xlsx()))
    rows, rejects = read(workbook({"Orders": table}), both)
    as_csv, none = read(lines.getvalue().encode(), both)
    assert (rejects, none) == ([], [])
    assert {row.pop("_sheet") for row in rows} == {"Orders"}
    # A quoted field over two lines shifts the line numbers of a CSV file.
    assert [row.pop("_row_number") for row in rows] == [2, 3, 4]
    assert [row.pop("_row_number") for row in as_csv] == [2, 4, 5]
    assert rows == as_csv


def test_a_number_is_its_shortest_text_and_a_time_is_one():
    values = [1e20, 1.5e-7, 1e300, 0.1, time(10, 30), timedelta(days=1, hours=12)]
    [row], _ = read(workbook({"A": [list("abcdef"), values]}))
    assert [row[name] for name in "abcdef"] == ["100000000000000000000", "1.5e-07", "1e+300", "0.1", "10:30:00", "36:00:00"]


def test_all_sheets_are_read_and_numbered_apart():
    rows, _ = read(
        workbook({"one": TABLE, "empty": [], "three": [["Full Name", "ID", "more"], ["Cid", 3, None], ["Dan", 4, "x"]]})
    )
    assert [(row["_sheet"], row["_row_number"], row["id"], row["full_name"], row.get("more")) for row in rows] == [
        ("one", 2, "1", "Ann", None),
        ("one", 3, "2", "Bob", None),
        ("three", 2 * ROWS_PER_SHEET + 2, "3", "Cid", None),
        ("three", 2 * ROWS_PER_SHEET + 3, "4", "Dan", "x"),
    ]


def test_only_named_sheets_are_read_under_the_same_numbers_and_a_missing_one_is_an_entry():
    data = workbook({"notes": [["hello"]], "data": TABLE})
    rows, [missing] = read(data, feed("id", sheets=("data", "more")))
    assert [row["_row_number"] for row in rows] == [ROWS_PER_SHEET + 2, ROWS_PER_SHEET + 3]
    assert (missing["rule"], missing["reason"]) == ("file_has_sheets", "the workbook lacks the sheet more; it has notes, data")


def test_a_sheet_that_lacks_a_required_column_costs_only_itself():
    rows, [reject] = read(workbook({"notes": [["hello"], ["x"], ["y"]], "data": TABLE}), feed("id"))
    assert [row["id"] for row in rows] == ["1", "2"]
    assert (reject["rule"], reject["place"], reject["rows"]) == ("sheet_has_required_columns", "notes", 2)
    assert reject["reason"].startswith("the sheet lacks the required column id and has instead: hello")
    assert reject["payload"] == "hello\nx\ny"


def hide(book):
    book.worksheets()[1].hide()


def test_a_hidden_sheet_is_one_entry_unless_it_is_named():
    data = workbook({"data": TABLE, "old": TABLE}, hide)
    rows, [reject] = read(data, feed("id"))
    assert {row["_sheet"] for row in rows} == {"data"}
    assert (reject["rule"], reject["place"], reject["rows"]) == ("sheet_is_visible", "old", 2)
    assert {row["_sheet"] for row in read(data, feed("id", sheets=("old",)))[0]} == {"old"}


def test_a_merged_cell_has_its_value_in_its_first_cell_only():
    def merge(book):
        book.worksheets()[0].merge_range("A2:A3", "both")

    rows, _ = read(workbook({"A": [["id", "b"], [None, 1], [None, 2]]}, merge))
    assert [(row["id"], row["b"]) for row in rows] == [("both", "1"), (None, "2")]


def test_a_formula_is_its_value_and_an_error_or_none_costs_its_row():
    data = workbook({"A": [["id", "b"], [1, ("=A2*2", 2)], [2, ("=1/0", "#DIV/0!")], [3, ("=A4", 3)], [4, "#N/A"]]})
    data = replaced(data, SHEET, lambda xml: xml.replace(b"<f>A4</f><v>3</v>", b"<f>A4</f>"))
    rows, rejects = read(data)
    assert [(row["id"], row["b"]) for row in rows] == [("1", "2"), ("4", "#N/A")]
    assert [(r["row_number"], r["rule"], r["payload"]) for r in rejects] == [
        (3, "row_has_values", "2,"),
        (4, "row_has_values", "3,"),
    ]
    assert rejects[0]["reason"] == "cell B3 holds the error #DIV/0!"
    assert rejects[1]["reason"].startswith("cell B4 has a formula that was never computed")


def uncomputed(xml):
    return re.sub(rb"(<f>[^<]*</f>)<v>[^<]*</v>", rb"\1", xml)


def test_a_row_of_faults_alone_is_one_entry():
    """calamine makes a blank row of it, or none if it is the last."""
    faults = [("=1/0", "#DIV/0!"), ("=A1", 5)]
    data = workbook({"A": [["id", "b"], faults[::-1], [1, "x"], faults[:1] * 2, faults[1:] * 2]})
    rows, rejects = read(replaced(data, SHEET, uncomputed))
    assert [(row["_row_number"], row["id"]) for row in rows] == [(3, "1")]
    assert [(r["row_number"], r["rule"]) for r in rejects] == [(n, "row_has_values") for n in (2, 4, 5)]


@pytest.mark.parametrize("header", [["id", ("=1/0", "#DIV/0!")], [("=A9", "id"), ("=A9", "b")]])
def test_a_header_with_a_fault_costs_its_sheet_only(header):
    data = workbook({"A": [header, [1, 2], [3, 4]], "B": TABLE})
    rows, [reject] = read(replaced(data, SHEET, uncomputed))
    assert {row["_sheet"] for row in rows} == {"B"}
    assert (reject["rule"], reject["place"], reject["rows"]) == ("sheet_has_header", "A", 2)
    assert reject["reason"].startswith("the header of the sheet can't be read: cell ")


@pytest.mark.parametrize("value", [b"<v></v>", b"<v/>", b"<v />", b""])
def test_a_formula_with_an_empty_value_was_never_computed_unless_it_is_a_text(value):
    data = workbook({"A": [["id", "b"], [1, ("=A2", 7)], [2, ("=A3", "x")]]})
    data = replaced(data, SHEET, lambda xml: xml.replace(b"<v>7</v>", value).replace(b"<v>x</v>", b"<v></v>"))
    rows, [reject] = read(data)
    assert [(row["_row_number"], row["id"], row.get("b")) for row in rows] == [(3, "2", None)]
    assert (reject["row_number"], reject["rule"]) == (2, "row_has_values")


def test_two_sheets_of_one_name_refuse_the_workbook():
    data = workbook({"A": TABLE, "B": TABLE})
    data = replaced(data, "xl/workbook.xml", lambda xml: xml.replace(b'name="B"', b'name="A"'))
    reject = entry(data)
    assert (reject["rule"], "two of its sheets have the same name" in reject["reason"]) == ("file_is_xlsx", True)


def test_a_row_below_the_last_that_a_sheet_has_refuses_the_sheet():
    """Its number would be that of a row of the next sheet."""
    data = workbook({"A": TABLE, "B": TABLE})
    low = str(ROWS_PER_SHEET + 1).encode()
    data = replaced(data, SHEET, lambda xml: re.sub(rb'r="([AB]?)3"', rb'r="\g<1>' + low + b'"', xml))
    rows, [reject] = read(data)
    assert {row["_sheet"] for row in rows} == {"B"}
    assert (reject["rule"], "it has 1,048,577 rows" in reject["reason"]) == ("sheet_is_readable", True)


def test_a_mistake_in_the_names_of_sheets_is_found_when_they_are_declared():
    with pytest.raises(ContractError, match=r"Xlsx: sheets 'data' is a text, not names: write \('data',\)\."):
        Xlsx(sheets="data")
    with pytest.raises(ContractError, match="Xlsx: sheets is empty: name the sheets"):
        Xlsx(sheets=())


def test_blank_rows_are_none_and_a_table_may_begin_anywhere():
    rows, _ = read(workbook({"A": [[], [None, None, "id", "b"], [], [None, None, 1, "x"], [None, None, None, "y"]]}))
    assert [(row["_row_number"], row["id"], row["b"]) for row in rows] == [(4, "1", "x"), (5, None, "y")]


def test_a_column_without_a_header_is_one_if_it_has_a_value():
    [row], _ = read(workbook({"A": [["id", None, "a", "A"], [1, "x", "y", "z"]]}))
    assert row == {"id": "1", "column": "x", "a": "y", "a_2": "z", "_row_number": 2, "_sheet": "A"}


def test_a_header_alone_has_no_rows_and_no_rejects():
    assert read(workbook({"A": [["id"]]}), feed("id")) == ([], [])
    assert read_header([workbook({"A": [["id", "Full Name"]]})], feed("id"), "a", 1, DAY) == ["id", "full_name"]


def test_an_empty_workbook_is_one_entry():
    assert entry(workbook({"A": [], "B": []}))["rule"] == "file_has_header"


ANYHOW = {
    "prefixes": lambda xml: (
        xml.replace(b"<", b"<x:").replace(b"<x:/", b"</x:").replace(b"<x:?", b"<?").replace(b"xmlns=", b"xmlns:x=")
    ),
    "no places": lambda xml: xml.replace(b' r="A', b' q="A').replace(b' r="B', b' q="B'),
    "attributes in another order": lambda xml: xml.replace(b'<c r="A2"', b'<c  s="0" r="A2"'),
    "single quotes": lambda xml: xml[:60] + xml[60:].replace(b'"', b"'"),
    "texts within cells": lambda xml: xml.replace(b' t="s"><v>3</v>', b' t="inlineStr"><is><t>Bob</t></is>'),
}


@pytest.mark.parametrize("change", ANYHOW.values(), ids=ANYHOW)
@pytest.mark.parametrize("piece", [100, 10**9])
def test_a_sheet_may_be_written_in_many_ways(change, piece, monkeypatch):
    monkeypatch.setattr(xlsx, "_PIECE_BYTES", piece)
    data = workbook({"A": TABLE})
    assert read(replaced(data, SHEET, change), piece=piece) == read(data)
    monkeypatch.setattr(xlsx, "MOST_CELLS", 5)
    assert "it spans 6 cells" in entry(replaced(data, SHEET, change))["reason"]


def single_quoted(xml):
    return xml.replace(b'"', b"'")


def test_faults_and_sizes_are_found_in_single_quotes():
    table = [["id", "b"], [1, ("=1/0", "#DIV/0!")], [2, "it's a='b'"]]
    data = workbook({"A": table})
    assert read(replaced(data, SHEET, single_quoted)) == read(data)
    assert [r["rule"] for r in read(data)[1]] == ["row_has_values"]
    wide = workbook({"A": TABLE, "B": TABLE}, lambda book: book.worksheets()[0].write(1_048_575, 16_383, "x"))
    assert "it spans 17,179,869,184 cells" in read(replaced(wide, SHEET, single_quoted))[1][0]["reason"]


def test_a_workbook_with_a_password_says_so():
    reject = entry(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1_000)
    assert reject["rule"] == "file_is_xlsx"
    assert "it has a password, or is of an old format (.xls)" in reject["reason"]


@pytest.mark.parametrize("left", [1, 30, 3_000])
def test_a_workbook_that_is_cut_off_is_one_entry(left):
    reject = entry(workbook({"A": TABLE})[:-left])
    assert (reject["rule"], reject["rows"]) == ("file_is_xlsx", 1)
    assert "cut off or damaged" in reject["reason"]


def test_a_directory_that_names_places_outside_the_file_is_one_entry():
    data = workbook({"A": TABLE})
    end = data.rindex(b"PK\5\6")
    moved = (
        data[: end + 16] + (int.from_bytes(data[end + 16 : end + 20], "little") + 100).to_bytes(4, "little") + data[end + 20 :]
    )
    assert entry(moved)["rule"] == "file_is_xlsx"


def test_another_zip_is_one_entry():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
    assert "another kind of zip" in entry(buffer.getvalue())["reason"]


def test_a_damaged_sheet_costs_only_itself():
    data = bytearray(workbook({"A": TABLE, "B": TABLE}))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        part = archive.getinfo(SHEET)
    for place in range(part.header_offset + 100, part.header_offset + 120):
        data[place] ^= 0xFF
    rows, [reject] = read(bytes(data))
    assert {row["_sheet"] for row in rows} == {"B"}
    assert (reject["rule"], reject["place"]) == ("sheet_is_readable", "A")


def test_a_sheet_whose_cells_are_far_apart_is_one_entry():
    """Two cells span 17 billion: no memory holds the rectangle."""
    table = workbook({"A": [["id"]], "B": TABLE}, lambda book: book.worksheets()[0].write(1_048_575, 16_383, "x"))
    rows, [reject] = read(table)
    assert {row["_sheet"] for row in rows} == {"B"}
    assert reject["reason"] == (
        "the sheet can't be read: it spans 17,179,869,184 cells; allowed are 5,000,000: have it sent in several sheets, or as CSV"
    )


def test_a_part_that_unpacks_to_too_much_is_refused_whatever_the_directory_says(monkeypatch):
    data = workbook({"A": TABLE, "B": TABLE})
    data = replaced(data, SHEET, lambda xml: xml.replace(b"<sheetData>", b" " * 3_000_000 + b"<sheetData>"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo(SHEET).file_size
    # As if the sheet were as small as it was.
    lying = data.replace(size.to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    rows, [reject] = read(lying)
    assert ({row["_sheet"] for row in rows}, reject["rule"]) == ({"B"}, "sheet_is_readable")
    with monkeypatch.context() as context:
        context.setattr(xlsx, "_PIECE_BYTES", 10_000)
        pieces = xlsx._unpacked(io.BytesIO(lying), xlsx._parts(io.BytesIO(lying))[SHEET])
        taken: list[bytes] = []
        with pytest.raises(xlsx._DamagedError):
            taken.extend(pieces)
        assert sum(map(len, taken)) <= 1_000
    monkeypatch.setattr(xlsx, "MOST_PART_BYTES", 2_000_000)
    assert "unpacks to more than 1 MiB" in entry(data)["reason"]


def test_a_text_that_is_in_many_cells_is_bounded(monkeypatch):
    data = workbook({"A": [["id"], *[["x" * 20_000]] * 100], "B": TABLE})
    assert len(read(data)[0]) == 102
    monkeypatch.setattr(xlsx, "MOST_TEXT_BYTES", 1_000_000)
    rows, [reject] = read(data)
    assert ({row["_sheet"] for row in rows}, reject["rule"]) == ({"B"}, "sheet_is_readable")
    assert "its texts take 2,00" in reject["reason"]
    monkeypatch.setattr(xlsx, "MOST_TEXT_BYTES", 2_100_000)
    assert len(read(data)[0]) == 102


@pytest.mark.parametrize("piece", [1, 7, 10**9])
def test_the_sizes_of_shared_texts_are_found_wherever_a_piece_ends(piece):
    data = b"<sst><si><t>abc</t></si><si/><x:si><x:t>\xc3\xbc</x:t></x:si></sst>"
    sizes = list(xlsx._text_sizes(data[n : n + piece] for n in range(0, len(data), piece)))
    assert sizes == [len(b"<sst><si><t>abc</t></si>"), len(b"<si/>"), len(b"<x:si><x:t>..</x:t></x:si>")]


def test_a_file_that_is_too_large_is_one_entry(monkeypatch):
    monkeypatch.setattr(xlsx, "MOST_FILE_BYTES", 1_000)
    assert entry(workbook({"A": TABLE}))["rule"] == "file_has_bounded_size"


def test_more_columns_than_a_table_should_get_refuse_the_workbook():
    sheets = {f"s{n}": [["id", *(f"c{n}x{i}" for i in range(200))], [1]] for n in range(4)}
    assert entry(workbook(sheets), feed("id"))["rule"] == "file_has_few_new_columns"
