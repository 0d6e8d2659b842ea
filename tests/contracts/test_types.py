"""Some hundred texts as each type, on each engine, against plain Python."""

import re
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

from lakehouse_assets.contracts.types import TYPE_NAMES, type_of, typed
from lakehouse_assets.errors import ContractError

TYPES = ("string", "int", "bigint", "double", "boolean", "date", "timestamp", "decimal(12,2)", "decimal(38,0)", "decimal(2,2)")
TYPES += ("decimal(38,10)",)


def words(text):
    return text.split()


NUMBERS = words("""0 1 -1 +1 -0 +0 00 007 12 -12 2147483647 2147483648 -2147483648 -2147483649 9223372036854775807 9223372036854775808
-9223372036854775808 -9223372036854775809 1. .5 -.5 0.5 -0.50 +0.5 0.05 0.005 0.99 1.0 1.00 1.000 1.50 1.500 1.005 12.34 12.345
12.340 9999999999.99 9999999999.990 10000000000 10000000000.00 -9999999999.99 0000000000001.5 1e3 1E3 1e+3 1e-3 1.5e3 1e 1e+ e3
1e308 1e309 -1e309 1e400 1e-400 4.9e-324 1.7976931348623157e308 1.7976931348623159e308 1d 1f 1L 1_000 1,000 1,5 1'000 0x1F 0b1
0o7 1/2 ++1 +-1 - + --1 １２ ١٢ 1２ ² ½ 1e3.5 NaN nan Infinity -Infinity inf Inf NULL null None n/a $5 5% (5) 5- 1.2.3
99999999999999999999999999999999999999 100000000000000000000000000000000000000 0.0000000001 0.00000000001
1234567890123456789012345678.1234567890 12345678901234567890123456789.1 0.1 123456789012345678901234567890""")
DATES = words("""2026-01-05 2026-1-5 2026 2026-01 202601 20260105 12026-01-05 +12026-01-05 -2026-01-05 0000-01-01 0001-01-01 9999-12-31
10000-01-01 2026-02-29 2024-02-29 1900-02-29 2000-02-29 2026-13-01 2026-00-10 2026-01-00 2026-01-32 2026-04-31 1582-10-10
1582-10-04 05.01.2026 01/05/2026 2026/01/05 2026.01.05 10:00 10:00:00 T10:00 now today tomorrow yesterday epoch infinity
２０２６-01-05 2026-01-05Z 2026-01-05+02:00 2026-Jan-05 2026-W01-1 2026-005 26-01-05 2026-01-05T 2026-01-05T10""")
TIMES = [
    f"{day}{gap}{time}"
    for day in ("2026-01-05", "0001-01-01", "9999-12-31")
    for gap in (" ", "T")
    for time in ("00:00", "10:00", "23:59:59", "10:00:00", "23:59:59.999999", "00:00:00Z", "00:00+02:00", "23:59:00-14:00")
]
TIMES += [f"2026-01-05T10:00:00.{'123456789'[:digits]}{zone}" for digits in range(10) for zone in ("", "Z", "+05:30")]
TIMES += [
    f"2026-01-05 10:00:00{zone}" for zone in words("z UTC +02 +0200 +2:00 +14:00 +14:01 -14:00 +18:00 +13:59 -00:00 +00:60 CET")
]
TIMES += [f"2026-01-05 {time}" for time in words("24:00 24:00:00 23:60 10:00:60 1:00 10:0 10 10:00:0 10:00:00, 10:00:00,5 10h00")]
TIMES += [
    "2026-01-05t10:00",
    "2026-01-05  10:00",
    "2026-01-05_10:00",
    "2026-02-29 10:00",
    "0000-01-01 00:00",
    "12026-01-05 10:00",
]
TIMES += ["2026-01-05 10:00 UTC", "2026-01-05 10:00 +02:00", "2026-01-05 10:00:00 AM", "2026-03-29T02:30", "1890-01-01 12:00:00"]
WORDS = ["true", "false", "TRUE", "False", "tRuE", "t", "f", "T", "y", "n", "yes", "no", "Yes", "on", "off", "truee", "wahr", "x"]
OTHERS = [
    "",
    " ",
    "1 ",
    " 1",
    "1\n",
    "1\t",
    "\u00a01",
    "2026-01-05 ",
    " 2026-01-05",
    "2026-01-05\n",
    "true ",
    "true\n",
    "1.5\n",
    "1\r",
]
OTHERS += [
    "2026-01-05\u2028",
    "1\u0085",
    "ﬁ",
    "ſ",
    "falſe",
    "Ü",
    "1\u200b",
    "0" * 60 + "1",
    "0" * 60 + "1.5",
    "1." + "0" * 60,
    "1" * 60,
]
LITERALS = list(dict.fromkeys([*NUMBERS, *DATES, *TIMES, *WORDS, *OTHERS]))


def expected(text, name):
    """What the docs say of a text, by Python's own types; None where it is refused."""
    if name == "string":
        return text
    if name in ("int", "bigint"):
        limit = 2 ** (31 if name == "int" else 63)
        number = int(text) if re.fullmatch("[+-]?[0-9]+", text) else limit
        return number if -limit <= number < limit else None
    if name == "double":
        number = float(text) if re.fullmatch("[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?", text) else float("inf")
        return number if abs(number) != float("inf") else None
    if name == "boolean":
        return {"true": True, "false": False}.get(text.lower()) if text.isascii() else None
    if name == "date":
        return as_date(text)
    if name == "timestamp":
        return as_timestamp(text)
    precision, scale = (int(digits) for digits in re.findall("[0-9]+", name))
    if not re.fullmatch("[+-]?[0-9]+([.][0-9]+)?", text):
        return None
    whole, _, fraction = text.lstrip("+-").partition(".")
    fits = len(whole.lstrip("0")) <= precision - scale and len(fraction.rstrip("0")) <= scale
    return Decimal(text) if fits else None


def as_date(text):
    try:
        return date.fromisoformat(text) if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        return None


def as_timestamp(text):
    """Microseconds since 1970, because an offset may lead out of the years that Python knows."""
    parts = re.fullmatch("(.{10})[ T]([0-9]{2}):([0-9]{2})(:[0-9]{2})?([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?", text)
    if not parts or (day := as_date(parts[1])) is None or (parts[5] and not parts[4]):
        return None
    hour, minute, second = int(parts[2]), int(parts[3]), int((parts[4] or ":0")[1:])
    offset = parts[6] if parts[6] and parts[6] != "Z" else "+00:00"
    away = (1 if offset[0] == "+" else -1) * (int(offset[1:3]) * 60 + int(offset[4:]))
    if hour > 23 or minute > 59 or second > 59 or int(offset[4:]) > 59 or abs(away) > 14 * 60:
        return None
    local = timedelta(days=day.toordinal(), hours=hour, minutes=minute, seconds=second)
    local += timedelta(microseconds=int((parts[5] or ".0")[1:].ljust(6, "0")))
    micros = (local - timedelta(minutes=away) - timedelta(days=date(1970, 1, 1).toordinal())) // timedelta(microseconds=1)
    return micros if -62_135_596_800_000_000 <= micros < 253_402_300_800_000_000 else None


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def comparable(name):
    """Moments as numbers: Python's would be those of this machine's time zone."""
    return "UNIX_MICROS({})" if name == "timestamp" else "{}"


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_every_engine_reads_a_text_as_the_grammar_says(spark):
    rows = ", ".join(f"({number}, {quoted(text)})" for number, text in enumerate(LITERALS))
    columns = [comparable(name).format(typed("v", name)) + f" AS c{index}" for index, name in enumerate(TYPES)]
    result = spark.sql(f"SELECT n, v FROM VALUES {rows} AS t (n, v)").selectExpr("n", "v", *columns).collect()
    read = {(LITERALS[row["n"]], name): row[f"c{index}"] for row in result for index, name in enumerate(TYPES)}
    wrong = {key: value for key, value in read.items() if (value, type(value)) != (e := expected(*key), type(e))}
    assert wrong == {}
    assert len(result) == len(LITERALS) > 300


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_every_engine_knows_the_days_of_the_calendar(spark):
    texts = {
        f"{y:04}-{m:02}-{d:02}" for y in (0, 1, 4, 1582, 1677, 1900, 2000, 2026, 2263, 9999) for m in range(14) for d in range(33)
    }
    rows = ", ".join(f"({quoted(text)})" for text in texts)
    result = spark.sql(f"SELECT v FROM VALUES {rows} AS t (v)").selectExpr("v", f"{typed('v', 'date')} AS day").collect()
    assert {row["v"]: row["day"] for row in result} == {text: expected(text, "date") for text in texts}


@pytest.mark.parametrize("name", [n for n in TYPES if n != "string"])
def test_the_grammar_is_the_same_in_duckdb_s_and_python_s_regular_expressions(name):
    grammar = type_of(name).grammar
    rows = duckdb.execute("SELECT v, regexp_full_match(v, ?) FROM (SELECT unnest(?) AS v)", [grammar, LITERALS]).fetchall()
    assert {text for text, matches in rows if matches} == {text for text in LITERALS if re.fullmatch(grammar, text)}
    assert {text for text in LITERALS if expected(text, name) is not None} <= {text for text, matches in rows if matches}


@pytest.mark.worlds("spark-folder", "sail-folder")
@pytest.mark.parametrize(
    ("value", "kind", "name", "wanted"),
    [
        ("DATE'2026-01-05'", "date", "date", date(2026, 1, 5)),
        ("DATE_ADD(DATE'9999-12-31', 1)", "date", "date", None),
        ("TIMESTAMP'2026-01-05 10:00:00Z'", "timestamp", "date", date(2026, 1, 5)),
        ("CAST('NaN' AS DOUBLE)", "double", "double", None),
        ("CAST('NaN' AS DOUBLE)", "double", "decimal(12,2)", None),
        ("CAST('1.005' AS DOUBLE)", "double", "decimal(12,2)", Decimal("1.01")),
        ("CAST('12345678.125' AS DOUBLE)", "double", "decimal(12,2)", Decimal("12345678.13")),
        ("CAST('1e12' AS DOUBLE)", "double", "decimal(12,2)", None),
        ("CAST('1.5' AS DOUBLE)", "double", "int", None),
        ("CAST('3' AS DOUBLE)", "double", "int", 3),
        ("CAST('1.50' AS DECIMAL(4,2))", "decimal(4,2)", "int", None),
        ("CAST('3.00' AS DECIMAL(4,2))", "decimal(4,2)", "bigint", 3),
        ("CAST('12.345' AS DECIMAL(12,4))", "decimal(12,4)", "decimal(12,2)", Decimal("12.35")),
        ("CAST('99999999999' AS DECIMAL(12,0))", "decimal(12,0)", "decimal(5,2)", None),
        ("CAST(2147483648 AS BIGINT)", "bigint", "int", None),
        ("CAST(7 AS INT)", "int", "bigint", 7),
        ("TRUE", "boolean", "boolean", True),
        ("NULL", "void", "date", None),
        ("CAST(7 AS INT)", "int", "string", "7"),
    ],
)
def test_what_a_function_has_computed_keeps_its_value_or_is_refused(spark, value, kind, name, wanted):
    [row] = spark.sql(f"SELECT {value} AS v").selectExpr(f"{type_of(name).of_value('v', kind)} AS found").collect()
    assert row["found"] == wanted
    assert type_of(name).takes(kind)


@pytest.mark.parametrize(
    "name", ["money", "INT", "decimal", "decimal(p,s)", "decimal(39,2)", "decimal(2,3)", "decimal(0,0)", "varchar(3)", ""]
)
def test_other_types_are_refused_by_name(name):
    with pytest.raises(ContractError, match="is not a type"):
        type_of(name)


def test_each_type_is_one_in_arrow():
    assert [str(type_of(name.replace("p,s", "12,2")).in_arrow) for name in TYPE_NAMES] == [
        "string", "int32", "int64", "double", "bool", "date32[day]", "timestamp[us, tz=UTC]", "decimal128(12, 2)",
    ]  # fmt: skip


def test_dates_and_moments_are_of_different_families():
    assert not type_of("int").takes("date")
    assert not type_of("boolean").takes("int")
