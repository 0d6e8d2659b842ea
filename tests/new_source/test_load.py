"""Generated tables as CSV, through new-source and the tables that it declares: every row is in silver, with its values."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.new_source import csv_bytes, declared, land_samples

pytestmark = pytest.mark.worlds("sail-folder")

NAMES = (
    "Order No",
    "größe",
    "1er lot",
    "class",
    "select",
    "Total (EUR)",
    "E-mail",
    "updatedAt",
    "is_deleted",
    "x.y",
    "both",
    "Zip",
)
"""Names that are awkward somewhere: in Python, in SQL, in a contract."""

_WORDS = st.text(st.characters(categories=("L", "P", "Zs"), codec="cp1252"), min_size=1, max_size=12)
_DAYS = st.dates(date(1950, 1, 1), date(2060, 1, 1))
_MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2060, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
_AMOUNTS = st.decimals(-(10**9), 10**9, places=2)


def _german(amount):
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


KINDS = {
    "word": (_WORDS, str),
    "int": (st.integers(-(2**31), 2**31 - 1), str),
    "bigint": (st.integers(-(2**62), 2**62), str),
    "decimal": (_AMOUNTS, "{:f}".format),
    "german": (_AMOUNTS, _german),
    "double": (st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda x: x == 0 or abs(x) > 1e-300), repr),
    "boolean": (st.booleans(), lambda yes: str(yes).lower()),
    "day": (_DAYS, str),
    "slashed": (_DAYS, "{:%d/%m/%Y}".format),
    "dotted": (_DAYS, "{:%d.%m.%Y}".format),
    "moment": (_MOMENTS, str),
    "offset": (_MOMENTS, "{:%Y-%m-%d %H:%M:%S} +0000".format),
    "padded": (st.integers(0, 10**6), "{:08}".format),
}
"""The kinds of values, each with how it is written."""


@st.composite
def tables(draw):
    """Columns by name, with a kind each, and rows with values or None. A day after the twelfth tells the order of day and month."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=4, max_size=10, unique=True))
    kinds = [draw(st.sampled_from(sorted(KINDS))) for _ in names]
    count = draw(st.integers(1, 12))
    columns = [draw(st.lists(st.none() | KINDS[kind][0], min_size=count, max_size=count)) for kind in kinds]
    columns = [
        [date(2024, 2, 29), *column[1:]] if kind in ("slashed", "dotted") else column
        for kind, column in zip(kinds, columns, strict=True)
    ]
    return (
        names,
        kinds,
        list(zip(*columns, strict=True)),
        draw(st.sampled_from(",;\t|")),
        draw(st.sampled_from(["utf-8", "cp1252"])),
    )


def same(result, value, text):
    """Whether a value of silver is the one that was written: by its type there, or as the text."""
    if value is None or not text.strip(" "):
        return result is None
    if isinstance(result, str):
        return result == text.strip(" ")
    if isinstance(result, datetime):
        return result.replace(tzinfo=None) == value
    if isinstance(result, float | int | Decimal) and not isinstance(result, bool):
        return result == (float(value) if isinstance(result, float) else value)
    return str(result).lower() == str(value).lower()


@pytest.fixture
def make(make_lakehouse, tmp_path):
    """Loads a CSV file by what new-source declares of it: the silver rows by source row, and the lakehouse."""

    def load(data):
        folder = tmp_path / f"sample_{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (file := folder / "orders_2026-01-31.csv").write_bytes(data)
        made, system = declared(folder, "shop", file)
        lakehouse = make_lakehouse(*system.tables)
        land_samples(lakehouse, made)
        assert lakehouse.build() == {}
        return lakehouse, system.tables[0].contract

    return load


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_every_row_of_a_table_is_in_silver_with_its_values(make, table):
    names, kinds, rows, delimiter, encoding = table
    written = [[None if v is None else KINDS[k][1](v) for v, k in zip(row, kinds, strict=True)] for row in rows]
    header = ["Ref", *names]
    lakehouse, contract = make(
        csv_bytes([header, *([f"R{number:03}x", *row] for number, row in enumerate(written))], delimiter, encoding)
    )
    assert lakehouse.rows("quarantine.rows") == []
    result = lakehouse.rows("silver.shop_orders", order="ref")
    assert [row["ref"] for row in result] == [f"R{number:03}x" for number in range(len(rows))]
    columns = [name for name in contract.column_names if name not in ("ref", "source_file", "source_row")]
    wrong = [
        (name, value, row[column])
        for row, values, texts in zip(result, rows, written, strict=True)
        for name, column, value, text in zip(names, columns, values, texts, strict=True)
        if not same(row[column], value, text)
    ]
    assert wrong == []


def test_a_key_that_comes_again_on_another_day_replaces_its_row(make_lakehouse, tmp_path):
    files = []
    for day, text in (("2026-01-30", "no,total\nA,1.50\nB,2.50\n"), ("2026-01-31", "no,total\nB,3.50\nC,4.50\n")):
        (file := tmp_path / f"orders_{day}.csv").write_text(text)
        files.append(file)
    made, system = declared(tmp_path, "shop", *files)
    lakehouse = make_lakehouse(*system.tables)
    for file in files:
        lakehouse.land("shop/orders", file.stem[-10:], file.name, file.read_bytes())
    assert lakehouse.build() == {}
    assert lakehouse.rows("silver.shop_orders", "no, total") == [
        {"no": "A", "total": Decimal("1.50")},
        {"no": "B", "total": Decimal("3.50")},
        {"no": "C", "total": Decimal("4.50")},
    ]
    assert "It does in each file of the sample (4 rows); a later file replaces its rows." in made.file.read_text()


def test_columns_called_as_an_engine_s_own_words_have_their_values(make):
    words = ["current_user", "current_date", "current_timestamp", "localtime", "localtimestamp", "user", "session_user"]
    lakehouse, _ = make(csv_bytes([["ref", *words], ["a", *(f"value {word}" for word in words)]]))
    [row] = lakehouse.rows("silver.shop_orders")
    assert {word: row[word] for word in words} == {word: f"value {word}" for word in words}
