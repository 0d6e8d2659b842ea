"""How a text file is written, from its beginning: pure functions."""

import codecs

import pytest

from lakehouse_assets.new_source.format_detection import delimiter_of, encoding_of, has_header, has_values, records_of


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain", None),
        ("größe".encode(), "utf-8"),
        ("größe".encode()[:-3], "utf-8"),  # cut within a character
        ("größe".encode("cp1252"), "cp1252"),
        ("5 €".encode("cp1252"), "cp1252"),
        (b"gr\xf6\x81", "iso8859-1"),
    ],
)
def test_an_encoding_is_told_by_the_bytes(data, encoding):
    assert encoding_of(data) == encoding
    assert encoding is None or codecs.lookup(encoding).name == encoding


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_cuts_all_lines_alike(delimiter):
    rows = [["id", "text", "amount"], ["1", 'a, "b"; c | d', "1,50"], ["2", "", "2,00"], ["3", "x", "3,25"]]
    written = "\n".join(delimiter.join('"' + field.replace('"', '""') + '"' for field in row) for row in rows)
    assert delimiter_of(written) == delimiter


def test_a_decimal_comma_is_no_delimiter():
    assert delimiter_of("name;price\na;1,50\nb;2,50\n") == ";"
    assert delimiter_of("a single column\nwith words, and more\n") == ","


@pytest.mark.parametrize(
    ("rows", "is_header"),
    [
        ([["id", "name"], ["1", "a"]], True),
        ([["id", ""], ["1", "a"]], True),
        ([["1", "a"], ["2", "b"]], False),
        ([["a", "2026-01-05"], ["b", "2026-01-06"]], False),
        ([["a", "1,50"], ["b", "2,50"]], False),
        ([["ada@example.com", "x"]], False),
        ([["1er lot", "Tax 1"], ["2", "3"]], True),
        ([["tax", "tax"], ["1", "2"]], True),
        ([["Oslo", "Oslo"], ["Oslo", "Bergen"]], False),
        ([["", ""]], False),
        ([], False),
    ],
)
def test_a_header_is_names(rows, is_header):
    assert has_header(rows) is is_header


def test_rows_have_values_where_a_column_has_nothing_else():
    assert has_values([["a", "1"], ["b", ""]])
    assert not has_values([["a", "1"], ["b", "c"]])
    assert not has_values([["a", ""]])


@pytest.mark.parametrize(
    ("document", "records"),
    [
        ([{"id": 1}], None),
        ({"id": 1, "items": [{"sku": "a"}]}, None),
        ({"results": [{"id": 1}]}, "results"),
        ({"data": {"items": [{"id": 1}]}, "total": 1}, "data.items"),
        ({"links": [{"rel": "next"}], "orders": [{"id": 1}, {"id": 2}]}, "orders"),
        ({"tags": ["a"], "name": "x"}, None),
        ({"results": []}, None),
        ({"a.b": [{"id": 1}]}, None),
        ({"meta": {"errors": [{"id": 1}] * 3}, "data": [{"id": 1}] * 2}, "data"),
        ({"page": {"links": [{"rel": 1}] * 3}, "orders": [{"id": 1}]}, "orders"),
        ({"data": {"orders": [{"id": 1}]}, "errors": [{"id": 1}] * 2}, "data.orders"),
        ({"data": {"errors": [{"id": 1}] * 2, "items": [{"id": 1}]}}, "data.items"),
        ({"errors": [{"id": 1}] * 2, "Results": [{"id": 1}]}, "Results"),
    ],
)
def test_the_records_of_a_document_are_the_list_that_its_name_and_place_say(document, records):
    assert records_of(document) == records
