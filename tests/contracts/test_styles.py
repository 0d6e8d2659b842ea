"""Texts in all styles, as columns of several declarations, on each engine, against plain Python."""

import random
import re
from ast import literal_eval
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import combinations, pairwise, permutations, product

import pytest

from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.problems import gathered
from lakehouse_assets.contracts.styles import NUMBERS, accepts, advice, style_faults, styled
from lakehouse_assets.errors import ContractError
from tests.contracts.test_types import OTHERS, as_date, as_timestamp, comparable, expected, quoted, words

MONEY = "decimal(12,2)"
COLUMNS = [
    ("date", ("d/m/y",)),
    ("date", ("m/d/yyyy",)),
    ("date", ("dd.mm.yyyy", "m/d/yy", "yyyymmdd")),
    ("date", ("d-m-y", "d.m.yy", "y/m/d", "ddmmyyyy")),
    ("date", ("y-d-m",)),
    ("date", ("d m y", "yymmdd")),
    ("timestamp", ("d/m/y",)),
    ("timestamp", ("m/d/y", "dd.mm.yy", "yyyymmdd", "offsets", "epoch seconds")),
    ("timestamp", ("offsets", "epoch milliseconds")),
    ("timestamp", ("epoch seconds",)),
    *((kind, (style,)) for style in NUMBERS for kind in (MONEY, "double")),
    (MONEY, ("1234,56", "1 234,56", "1'234,56")),
    ("decimal(38,10)", ("1.234,56", "1 234,56")),
    ("int", ("1,234.56",)),
    ("bigint", ("1.234,56", "1'234.56")),
]


def texts():
    """Days in every order, moments and numbers, sound and not quite; the same in each run."""
    rng = random.Random(14)
    days = [(5, 1, 2026), (1, 5, 2026), (13, 1, 2026), (29, 2, 2024), (29, 2, 2026), (31, 4, 1999), (5, 12, 69), (9, 9, 68)]
    days += [(rng.randint(0, 32), rng.randint(0, 13), rng.choice((0, 1, 1582, 1999, 2026, 9999))) for _ in range(12)]
    for day, month, year in days:
        for mark, order in product("/.- ", ("dmy", "mdy", "ymd", "ydm")):
            written = {"d": str(day).zfill(rng.randint(1, 2)), "m": str(month).zfill(rng.randint(1, 2))}
            written["y"] = f"{year:04}" if rng.random() < 0.7 else f"{year % 100:02}"
            yield mark.join(written[part] for part in order)
        yield f"{year:04}{month:02}{day:02}"
        yield f"{day:02}{month:02}{year:04}"
        yield f"{year % 100:02}{month:02}{day:02}"
    for day in ("2026-01-05", "5/1/2026", "13/1/2026", "1/13/2026", "05.01.26", "20260105", "31/2/2026", "1/1/0001"):
        for time in ("10:00", "10:00:00.5", "23:59:59.999999Z", "10:00:00+05:30", "24:00", "1:00", "10"):
            yield f"{day}{rng.choice(' T')}{time}"
        for offset in ("+0200", "+02", "-0930", " UTC", "GMT", "z", " +02:00", "+2", "CET", " 0200", "+1500", "+02:00:00"):
            yield f"{day} 10:00:00{offset}"
        yield f"{day}\n"
    for moment in (0, 1, -1, 1767607200, 253402300799, 253402300800, -62135596800, -62135596801, 999999999999):
        yield from (str(moment), f"{moment}000", f"{moment}.5", f"{moment}.123456", f"{moment}.1234567", f"{moment}123.25")
    for sign, whole in product(
        ("", "-", "+", "--"), ("0", "1", "12", "123", "1234", "12345", "1234567", "0001234", "12345678901")
    ):
        for mark, point in (("", "."), ("", ","), *((m, p) for m, p in product(",. '\u00a0\u202f\u2019", ".,") if m != p)):
            groups = re.sub(r"(?<=[0-9])(?=(?:[0-9]{3})+$)", lambda _, m=mark: m, whole)
            yield f"{sign}{groups}"
            yield f"{sign}{groups}{point}{rng.choice(('5', '56', '567', '50', '500', '', '5e3'))}"
    yield from words("1,23 1.23 12,34,567.00 1,2345 1,,234 ,123 1,234,56 1.234.56 1'234'56 1e3 1,5e-3")
    yield "1 2345"
    yield from OTHERS


TEXTS = list(dict.fromkeys(texts()))


def day_in(text, style):
    """The day that a text is in a style, by cutting it up; None if it isn't one."""
    mark = next((c for c in style if not c.isalpha()), "")
    letters = style.split(mark) if mark else re.findall("d+|m+|y+", style)
    ends = [sum(map(len, letters[:n])) for n in range(4)]
    parts = text.split(mark) if mark else [text[a:b] for a, b in pairwise(ends)]
    if len(parts) != 3 or (not mark and len(text) != ends[-1]) or not all(p.isascii() and p.isdigit() for p in parts):
        return None
    sizes = {"d": (1, 2), "m": (1, 2), "dd": (2,), "mm": (2,), "yy": (2,), "y": (4,), "yyyy": (4,)}
    if not all(len(part) in sizes[letter] for part, letter in zip(parts, letters, strict=True)):
        return None
    day, month, year = (next(int(p) for p, letter in zip(parts, letters, strict=True) if letter[0] == x) for x in "dmy")
    year += 0 if "yy" not in letters else 1900 if year >= 69 else 2000
    try:
        return date(year, month, day)
    except ValueError:
        return None


def number_in(text, style):
    """The own form of a number written in a style; None if it isn't one."""
    mark, point = style[1] if style[1] in ",. '" else "", style[-3]
    text = text.translate({0xA0: " ", 0x202F: " ", 0x2019: "'"}) if mark in (" ", "'") else text
    mantissa, exponent, power = re.fullmatch("([^e]*)(e?)(.*)", text, re.DOTALL).groups()
    sign = mantissa[:1] if mantissa[:1] in ("+", "-") else ""
    whole, has_point, fraction = mantissa[len(sign) :].partition(point)
    first, *groups = whole.split(mark) if mark else [whole]
    if groups and (len(first) > 3 or any(len(group) != 3 for group in groups)):
        return None
    if not all(part and part.isascii() and part.isdigit() for part in (first, *groups)) or (has_point and not fraction):
        return None
    return f"{sign}{first}{''.join(groups)}{'.' if has_point else ''}{fraction}{exponent}{power}"


def moment_in(text, styles):
    """The microseconds of a text in one of the styles, or in the own form."""
    for style in styles:
        factor = {"epoch seconds": 6, "epoch milliseconds": 3}.get(style)
        if factor and re.fullmatch(f"[+-]?[0-9]{{1,{18 - factor}}}([.][0-9]{{1,{factor}}})?", text):
            micros = int(Decimal(text).scaleb(factor))
            return micros if -62_135_596_800_000_000 <= micros < 253_402_300_800_000_000 else None
    if "\n" in text or not re.search("[ T]", text):
        return None
    day, rest = re.split("[ T]", text, maxsplit=1)
    orders = [style for style in styles if "y" in style]
    day = next((str(result) for style in orders if (result := day_in(day, style))), day)
    if "offsets" in styles and (parts := re.fullmatch("(.*:[0-9]{2}(?:[.][0-9]+)?) ?(z|Z|UTC|GMT|[+-][0-9:]+)", rest)):
        offset = parts[2] if parts[2][0] in "+-" else "Z"
        offset = {3: f"{offset}:00", 5: f"{offset[:3]}:{offset[3:]}"}.get(len(offset), offset)
        rest = parts[1] + offset
    return as_timestamp(f"{day} {rest}")


def wanted(text, kind, styles):
    if kind == "date":
        result = [day for style in styles if (day := day_in(text, style))]
        own = None if styles == ("y-d-m",) else as_date(text)
        return next(iter(result), own)
    if kind == "timestamp":
        return moment_in(text, styles)
    if kind in ("int", "bigint"):
        own = next((n for style in styles if (n := number_in(text, style)) and n.lstrip("+-").isdigit()), text)
        return expected(own, kind) if re.fullmatch("[+-]?[0-9]+", own) else None
    result = [own for style in styles if (own := number_in(text, style))]
    replaced = any(style.startswith("1.") for style in styles)
    return expected(result[0] if result else "" if replaced else text, kind)


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_every_engine_reads_a_text_in_the_declared_styles(spark):
    rows = ", ".join(f"({number}, {quoted(text)})" for number, text in enumerate(TEXTS))
    frame = spark.sql(f"SELECT n, v FROM VALUES {rows} AS t (n, v)")
    columns = [f"{comparable(kind).format(styled('v', kind, styles))} AS c{n}" for n, (kind, styles) in enumerate(COLUMNS)]
    result = frame.selectExpr("n", *columns).collect()
    read = {(TEXTS[row["n"]], *column): row[f"c{n}"] for row in result for n, column in enumerate(COLUMNS)}
    wrong = {key: (value, wanted(*key)) for key, value in read.items() if value != wanted(*key)}
    assert wrong == {}
    assert len(result) == len(TEXTS)
    # Each declaration takes texts that the type alone doesn't, and refuses others.
    for column in COLUMNS:
        taken = {text for text in TEXTS if read[text, *column] is not None}
        assert {text for text in taken if wanted(text, column[0], ()) is None}, column
        assert len(taken) < len(TEXTS)


def test_python_accepts_what_the_engines_read():
    wrong = [(t, *c) for t in TEXTS for c in COLUMNS if accepts(*c, t) != (wanted(t, *c) is not None)]
    assert wrong == []


ORDERS = ["".join(p) for p in product(("d", "dd"), "/", ("m", "mm"), "/", ("y", "yy"))]
ORDERS += words("m/d/y m/dd/yy y/m/d yy/m/d y/d/m d.m.y m.d.y yyyymmdd ddmmyyyy mmddyyyy yymmdd ddmmyy yyyyddmm d-m-y y-m-d")


def write(style, day, month, year):
    mark = next((c for c in style if not c.isalpha()), "")
    years = {"y": f"{year:04}", "yyyy": f"{year:04}", "yy": f"{year % 100:02}"}
    return mark.join({"d": f"{day:02}", "m": f"{month:02}"}.get(p[0]) or years[p] for p in re.findall("d+|m+|y+", style))


def test_two_styles_are_refused_together_if_they_read_a_text_differently():
    days = [(day, month, year) for day in (1, 5, 12, 20) for month in (1, 2, 12) for year in (2001, 2012, 1910, 1012)]
    written = {style: {write(style, *day) for day in days} for style in ORDERS}
    for one, two in combinations(ORDERS, 2):
        texts = written[one] | written[two]
        differ = {t for t in texts if None not in (days := {day_in(t, one), day_in(t, two)}) and len(days) > 1}
        assert bool(style_faults("date", (one, two))) == bool(differ), (one, two, differ)


@pytest.mark.parametrize("kind", [MONEY, "int"])
def test_two_styles_of_numbers_are_refused_together_if_they_read_a_text_differently(kind):
    styles = [style for style in NUMBERS if not style_faults(kind, (style,))]
    for one, two in permutations(styles, 2):
        written = [[own for style in (one, two) if (own := number_in(text, style))] for text in TEXTS]
        read = [{expected(own, kind) for own in texts} - {None} for texts in written]
        assert bool(style_faults(kind, (one, two))) == any(len(values) > 1 for values in read), (one, two)


@pytest.mark.parametrize(
    ("kind", "styles", "fault"),
    [
        ("date", ("d/m/y", "m/d/y"), "styles 'd/m/y' and 'm/d/y' read the same text differently: declare the one"),
        (MONEY, ("1,234.56", "1234,56"), "styles '1,234.56' and '1234,56' read the same text differently"),
        (MONEY, ("1.234,56", "1 234.56"), "read the same text differently"),
        ("timestamp", ("epoch seconds", "epoch milliseconds"), "read the same text differently"),
        ("date", ("d/m/y", "d/m/y"), "style 'd/m/y' is declared twice"),
        ("date", ("d/m",), "'d/m' is not a style of date, such as d/m/y, m/d/yyyy, dd.mm.yy, yyyymmdd and the like (did"),
        ("date", ("D/M/Y",), "(did you mean 'd/m/y'?)"),
        ("date", ("d/m.y",), "is not a style"),
        ("date", ("dmy",), "is not a style"),
        ("date", ("d/d/y",), "is not a style"),
        ("date", ("offsets",), "'offsets' is not a style of date"),
        ("timestamp", ("epoch second",), "(did you mean 'epoch seconds'?)"),
        ("int", ("1234,56",), "'1234,56' is not a style of int, such as 1,234.56"),
        (MONEY, ("1,234",), "'1,234' is not a style of decimal(12,2), such as 1,234.56, 1.234,56"),
        ("string", ("d/m/y",), "style 'd/m/y': the type string has no styles"),
        ("boolean", ("1,234.56",), "the type boolean has no styles"),
        ("date", "d/m/y", "styles 'd/m/y' is a text, not names: write ('d/m/y',)"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_line_when_contracts_load(kind, styles, fault):
    with gathered() as problems:
        contract(Column("x", kind, "", styles=styles))
    [line] = problems
    assert line.startswith("Contract of shop_things: column 'x': ")
    assert fault in line
    with pytest.raises(ContractError):
        contract(Column("x", kind, "", styles=styles))


@pytest.mark.parametrize(("kind", "styles"), [
    ("date", ("d/m/y", "d/m/yy", "dd.mm.yyyy", "m-d-y")),
    ("int", ("1,234.56", "1.234,56")),
    (MONEY, ("1234,56", "1 234,56", "1'234,56")),
])  # fmt: skip
def test_styles_that_never_differ_go_together(kind, styles):
    assert style_faults(kind, styles) == []


@pytest.mark.parametrize(
    ("kind", "declared", "text", "would"),
    [
        ("date", (), "13/01/2026", [("d/m/y",)]),
        ("date", (), "05/01/2026", [("d/m/y",), ("m/d/y",)]),
        ("date", (), "05/01/26", [("d/m/yy",), ("m/d/yy",), ("yy/m/d",)]),
        ("date", ("yyyymmdd",), "31.1.2026", [("yyyymmdd", "d.m.y")]),
        ("date", (), "2026-1-5", [("y-m-d",)]),
        ("date", (), "20260105", [("yyyymmdd",)]),
        ("date", (), "2026-02-30", []),
        ("date", (), "31/31/2026", []),
        ("date", (), "soon", []),
        ("timestamp", (), "31/1/2026 10:00", [("d/m/y",)]),
        ("timestamp", (), "2026-01-31T10:00:00+0200", [("offsets",)]),
        ("timestamp", (), "31.1.2026 10:00 UTC", [("d.m.y", "offsets")]),
        ("timestamp", ("d.m.y",), "31.1.2026 10:00 UTC", [("d.m.y", "offsets")]),
        ("timestamp", (), "1767607200", [("epoch seconds",)]),
        ("timestamp", (), "1767607200000", [("epoch milliseconds",)]),
        (MONEY, (), "1.234,56", [("1.234,56",)]),
        (MONEY, (), "1.50,5", []),
        ("int", (), "1,234", [("1,234.56",)]),
        ("int", (), "1.5", []),
        ("boolean", (), "yes", []),
    ],
)
def test_a_refused_text_says_which_declaration_reads_it(kind, declared, text, would):
    assert [literal_eval(styles) for styles in re.findall(r"styles=(\(.*?\))", advice(kind, declared, text) or "")] == would


def test_the_advice_is_a_sentence():
    one = "It is written as d/m/y: styles=('d/m/y',) in its column of the contract reads it."
    two = "It is written as d/m/y or m/d/y: styles=('d/m/y',) or styles=('m/d/y',) in its column of the contract reads it, "
    none = "It is written as m/d/y, which the column's d/m/y may read differently: have it sent as agreed."
    assert advice("date", (), "31/1/2026") == one
    assert advice("date", (), "5/1/2026") == f"{two}whichever the source means."
    assert advice("date", ("d/m/y",), "1/31/2026") == none


@pytest.mark.parametrize("kind", ["date", "timestamp", "decimal(38,10)", "bigint"])
def test_what_is_advised_reads_the_text(kind):
    advised = 0
    for text in (text for text in TEXTS if wanted(text, kind, ()) is None):
        for written in re.findall(r"styles=(\(.*?\))", advice(kind, (), text) or ""):
            styles = literal_eval(written)
            assert style_faults(kind, styles) == []
            assert wanted(text, kind, styles) is not None
            advised += 1
    assert advised > 50


def contract(*columns):
    return Contract("shop_things", "Things", "team:shop", (Column("id", "int", ""), *columns), key=("id",))


def test_a_style_is_part_of_the_digest_and_none_is_not():
    plain = contract(Column("at", "date", ""))
    assert plain.digest() == "6ec1e4dac6eb082a"
    assert replace(plain, columns=(plain.columns[0], Column("at", "date", "", styles=()))).digest() == plain.digest()
    digests = {contract(Column("at", "date", "", styles=s)).digest() for s in ((), ("d/m/y",), ("m/d/y",), ("d/m/y", "yyyymmdd"))}
    assert len(digests) == 4


@pytest.mark.worlds("spark-folder", "sail-folder")
def test_a_time_that_names_no_zone_is_of_the_feed_s_in_every_style(spark):
    kinds = ("d/m/y", "offsets", "epoch seconds")
    texts = ("5/7/2026 10:00", "2026-07-05 10:00", "5/7/2026 10:00 +02", "5/7/2026 08:00 UTC", "1783238400")
    rows = ", ".join(f"({quoted(text)})" for text in texts)
    sql = f"UNIX_MICROS({styled('v', 'timestamp', kinds, 'Europe/Paris')})"
    [moment] = {row[0] for row in spark.sql(f"SELECT v FROM VALUES {rows} AS t (v)").selectExpr(sql).collect()}
    assert moment == 1783238400_000_000
