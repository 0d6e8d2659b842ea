"""The type of a column, from its texts: pure functions."""

import re
import string
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse_assets.contracts.styles import accepts, style_faults
from lakehouse_assets.contracts.types import type_fault
from lakehouse_assets.new_source.types import guess


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["true", "FALSE"], "boolean"),
        (["1", "-20"], "int"),
        (["99999999"], "int"),
        (["100000000", "1"], "bigint"),
        (["999999999999999999"], "bigint"),
        (["1.5", "20"], "decimal(12,2)"),
        (["1.500000"], "decimal(16,6)"),
        (["12345678901.5"], "decimal(13,2)"),
        (["0.30000000000000004"], "double"),
        (["1e-7", "5"], "double"),
        (["2026-01-05"], "date"),
        (["2026-01-05 10:00", "2026-01-05T10:00:30.5Z"], "timestamp"),
        (["a", "1"], "string"),
        (["NO"], "string"),
        (["2026-02-30"], "string"),
        (["+4712345678"], "string"),
        ([], "string"),
    ],
)
def test_the_own_forms_of_the_types_ask_nothing(texts, kind):
    result = guess("thing", texts)
    assert (result.type, result.styles) == (kind, ())
    assert result.questions == ()


@pytest.mark.parametrize(
    ("texts", "kind", "styles"),
    [
        (["12,50", "1234,00"], "decimal(12,2)", ("1234,56",)),
        (["12,50", "1.234,00"], "decimal(12,2)", ("1.234,56",)),
        (["1,234.50"], "decimal(12,2)", ("1,234.56",)),
        (["1 234,50", "7"], "decimal(12,2)", ("1 234,56",)),
        (["1'234.50"], "decimal(12,2)", ("1'234.56",)),
        (["1 234", "1 234 567"], "int", ("1 234,56",)),
        (["1.234.567"], "int", ("1.234,56",)),
        (["0,350", "1,200"], "decimal(13,3)", ("1234,56",)),
        (["31/01/2026", "1/2/2026"], "date", ("d/m/y",)),
        (["1/31/2026"], "date", ("m/d/y",)),
        (["31.12.26", "1.1.00"], "date", ("d.m.yy",)),
        (["2026/01/31"], "date", ("y/m/d",)),
        (["2026-1-5"], "date", ("y-m-d",)),
        (["31/01/2026 10:00"], "timestamp", ("d/m/y",)),
        (["31/01/2026 10:00:00 +0100"], "timestamp", ("d/m/y", "offsets")),
        (["2026-01-31 10:00:00 -0500"], "timestamp", ("offsets",)),
    ],
)
def test_what_only_one_style_reads_asks_nothing(texts, kind, styles):
    result = guess("thing", texts)
    assert (result.type, result.styles, result.questions) == (kind, styles, ())


@pytest.mark.parametrize(
    ("name", "texts", "kind", "styles", "asked"),
    [
        ("day", ["03/04/2026", "01/02/2026"], "date", ("d/m/y",), "written as d/m/y, or as m/d/y"),
        ("day", ["03.04.26"], "date", ("d.m.yy",), "written as d.m.yy, or as m.d.yy or yy.m.d"),
        ("ordered_on", ["20260131"], "date", ("yyyymmdd",), "eight digits a date"),
        ("created", ["1767430800"], "timestamp", ("epoch seconds",), "seconds since 1970"),
        ("created_at", ["1767430800123"], "timestamp", ("epoch milliseconds",), "milliseconds since 1970"),
        ("flag", ["0", "1"], "int", (), "yes or no"),
        ("active", ["Y", "N"], "string", (), r"yes or no \(N, Y\)"),
        ("code", ["007", "12"], "string", (), None),
        ("department", ["007", "12"], "string", (), "leading zeros, such as '007'"),
        ("number", ["12345678901234567890"], "string", (), "numbers of 20 digits"),
        ("amount", ["1050", "99"], "int", (), "in cents"),
        ("pieces", ["1.0", "2.0"], "decimal(12,2)", (), r"whole\(\.\.\.\)"),
        ("weight", ["1.250", "12.500"], "decimal(13,3)", (), "mark of thousands"),
        ("weight", ["1,250", "12,500"], "int", ("1,234.56",), r"styles=\('1234,56',\)"),
        ("seen", ["1/2/2026 3:15 PM"], "string", (), "No style reads it"),
        ("seen", ["Jan 5, 2026"], "string", (), "No style reads it"),
        ("paid", ["€ 12,50"], "string", (), "Take its sign off"),
        ("size", [*map(str, range(20)), "n/a"], "string", (), "Most of its texts are a number. Does 'n/a' mean nothing"),
        ("size", [*(f"2026-01-{n:02}" for n in range(1, 30)), "-"], "string", (), "Most of its texts are a date"),
    ],
)
def test_what_the_texts_leave_open_is_asked(name, texts, kind, styles, asked):
    result = guess(name, texts)
    assert (result.type, result.styles) == (kind, styles)
    assert [bool(re.search(asked, question)) for question in result.questions] == [True] if asked else not result.questions


def test_eight_digits_and_seconds_are_numbers_unless_the_name_says_a_time():
    assert guess("invoice", ["20260131"]).type == "int"
    assert guess("quantity", ["1767430800"]).type == "bigint"
    assert guess("order_date", ["20261331"]).type == "int"


@pytest.mark.parametrize("name", ["zip", "billing_zip", "phone", "ean", "code_postal"])
def test_numbers_that_are_codes_by_name_stay_text(name):
    assert guess(name, ["12345", "99999"]).type == "string"


_DIGITS = st.text("0123456789", min_size=1, max_size=20)
_PIECES = st.sampled_from([*"+-.,:/ '\u00a0eETZ", "2026-01-05", "31/12/2026", "10:30", "true", "+0100", "1.234", "UTC", "x"])
_TEXT = st.lists(st.one_of(_DIGITS, _PIECES), min_size=1, max_size=6).map(lambda parts: "".join(parts).strip(" ")).filter(bool)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["thing", "created_at", "amount", "zip"]), st.lists(_TEXT, min_size=1, max_size=4, unique=True))
@example("thing", ["1.234", "1,234"])
@example("thing", ["12.5", "1.234,56"])
@example("thing", ["1e400"])
def test_a_guess_accepts_every_text_that_it_was_made_from(name, texts):
    result = guess(name, texts)
    assert type_fault(result.type) is None
    assert style_faults(result.type, result.styles) == []
    assert [text for text in texts if not accepts(result.type, result.styles, text)] == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12),
        min_size=1,
        max_size=5,
    )
)
def test_numbers_with_a_fraction_are_numbers(values):
    texts = list({f"{value:f}" for value in map(Decimal, values)})
    assert guess("thing", texts).type.startswith("decimal") or any(re.match("-?0[0-9]", t) for t in texts)


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=8), min_size=3, max_size=8, unique=True))
def test_words_are_text_and_ask_nothing_of_their_own(texts):
    result = guess("thing", texts)
    assert result.type in ("string", "boolean")
