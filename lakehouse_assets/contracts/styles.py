"""Styles: further ways to write a date, a moment or a number, which a column of a contract accepts by declaration.

    Column("ordered_on", "date", "Day of the order", styles=("d/m/y",))
    Column("amount", "decimal(12,2)", "Amount", styles=("1.234,56",))

A style has a grammar, a regular expression that the whole text must match, and SQL that rewrites such a text to the own form of
the column's type (`contracts/types.py`), which then parses it: there is one cast. What a text means depends on the column's
declaration only, never on other rows. So two styles of one column never read the same text differently; and a style that would
read texts of the type's own form differently, such as `1.234,56`, takes the place of that form.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import combinations
from math import isfinite

from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.types import type_of

OFFSETS, SECONDS, MILLISECONDS = "offsets", "epoch seconds", "epoch milliseconds"
NUMBERS = ("1,234.56", "1.234,56", "1 234,56", "1 234.56", "1'234.56", "1'234,56", "1234,56")
"""The styles of numbers, each as it writes 1234.56: the mark of thousands, which may be left out, and the decimal sign."""

_DATE = re.compile("(?P<first>d+|m+|y+)(?P<separator>[/. -]?)(?P<second>d+|m+|y+)(?P=separator)(?P<third>d+|m+|y+)")
_PARTS = {"d": "[0-9]{1,2}", "dd": "[0-9]{2}", "m": "[0-9]{1,2}", "mm": "[0-9]{2}", "yy": "[0-9]{2}", "yyyy": "[0-9]{4}"}
_WIDTHS = {"d": {1, 2}, "dd": {2}, "m": {1, 2}, "mm": {2}, "yy": {2}, "yyyy": {4}}
_MARKS = {",": ",", ".": "[.]", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}
"""The marks of thousands as regular expressions: a blank may be a no-break one, an apostrophe a typographic one."""

_OF_THE_LAST_CENTURY = "69"
"""From this on, two digits are a year after 1900, as POSIX has it."""

_OFFSET = "(.*:[0-9]{2}([.][0-9]{1,6})?) ?([Zz]|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)"
_EPOCH = {SECONDS: "[+-]?[0-9]{1,12}([.][0-9]{1,6})?", MILLISECONDS: "[+-]?[0-9]{1,15}([.][0-9]{1,3})?"}
_MICROS = {SECONDS: 1_000_000, MILLISECONDS: 1_000}
_FIRST_MICRO, _LAST_MICRO = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first and the last microsecond of the years 1 to 9999, counted from 1970."""


@dataclass(frozen=True)
class _Date:
    """The order of day, month and year (`d` or `dd`, `m` or `mm`, `yy` or `yyyy`), and what separates them."""

    parts: tuple[str, ...]
    separator: str

    @property
    def grammar(self) -> str:
        """A regular expression with a group for each part."""
        separator = f"[{self.separator}]" if self.separator else ""
        return separator.join(f"({_PARTS[part]})" for part in self.parts)

    def group(self, letter: str) -> int:
        """Return the group of the part that begins with `d`, `m` or `y`."""
        return next(n for n, part in enumerate(self.parts, start=1) if part.startswith(letter))

    def conflicts(self, other: "_Date") -> bool:
        """Whether there are digits that the two read differently. What no calendar has counts too, or each text would differ."""
        if self.separator != other.separator or [p[0] for p in self.parts] == [p[0] for p in other.parts]:
            return False
        if self.separator:
            return all(_WIDTHS[one] & _WIDTHS[two] for one, two in zip(self.parts, other.parts, strict=True))
        return len("".join(self.parts)) == len("".join(other.parts))


_ISO = _Date(("yyyy", "mm", "dd"), "-")


def style_faults(type_name: str, styles: Sequence[str]) -> list[str]:
    """Return what is wrong with the styles of a column of this type, half a sentence each."""
    if isinstance(styles, str):
        return [f"styles {styles!r} is a text, not names: write ({styles!r},)"]
    faults = [f"style {name!r} is declared twice" for name in sorted({s for s in styles if list(styles).count(s) > 1})]
    known = [name for name in dict.fromkeys(styles) if _is_style(type_name, name)]
    faults += [_unknown(type_name, name) for name in dict.fromkeys(styles) if name not in known]
    faults += [
        f"styles {one!r} and {two!r} read the same text differently: declare the one that the source means"
        for one, two in combinations(known, 2)
        if _conflict(type_name, one, two)
    ]
    return faults


def own_form(sql: str, type_name: str, styles: Sequence[str]) -> str:
    """SQL: a text in the own form of the type, if it is written in one of the styles; NULL or as it is, if not.

    It is NULL if a style takes the place of the own form.
    """
    cases = [case for style in styles if style != OFFSETS for case in [_case(sql, type_name, style)]]
    # A text of the own form stays, unless a style reads such a text differently.
    rest = "" if any(_takes_over(type_name, style) for style in styles) else f" ELSE {sql}"
    rewritten = f"CASE {' '.join(cases)}{rest} END" if cases else sql
    return _with_own_offset(rewritten) if OFFSETS in styles else rewritten


def styled(sql: str, type_name: str, styles: Sequence[str], zone: str | None = None) -> str:
    """SQL: a text as a value of the type, NULL if neither the type's own form nor a style reads it.

    `zone` is that of times that name none, as the feed declares it; UTC if None. Seconds since 1970 are never in it.
    """
    return type_of(type_name).of_text(own_form(sql, type_name, styles), zone)


def accepts(type_name: str, styles: Sequence[str], text: str) -> bool:
    """Return whether a column of this type and these styles accepts a text: what `styled` is in SQL, in Python."""
    own = _own_text(type_name, styles, text)
    return own is not None and _is_value(type_name, own)


@lru_cache(maxsize=10_000)  # many rows are refused for the same text
def advice(type_name: str, declared: tuple[str, ...], text: str) -> str | None:
    """Return which declaration would read a text that a column with the `declared` styles refused; None if none would."""
    candidates = [more for more in _candidates(type_name, text) if not {*more} & {*declared}]
    would = [m for m in candidates if _reads(type_name, m, text) or _reads(type_name, (*declared, *m), text)]
    would = [more for more in would if not any({*other} < {*more} for other in would)]
    fits = [more for more in would if not any(_conflict(type_name, one, two) for one in more for two in declared)]
    written = " or ".join(" with ".join(more) for more in fits or would)
    if fits:
        options = " or ".join(f"styles={(*declared, *more)!r}" for more in fits)
        meant = ", whichever the source means" if len(fits) > 1 else ""
        return f"It is written as {written}: {options} in its column of the contract reads it{meant}."
    if would:
        return (
            f"It is written as {written}, which the column's {', '.join(declared)} may read differently: have it sent as agreed."
        )
    return None


def _is_style(type_name: str, name: str) -> bool:
    if _date(name) is not None:
        return type_name in ("date", "timestamp")
    if name in (OFFSETS, SECONDS, MILLISECONDS):
        return type_name == "timestamp"
    if type_name in ("int", "bigint"):
        return name in NUMBERS and _marks(name)[0] != ""
    return name in NUMBERS and (type_name == "double" or type_name.startswith("decimal"))


def _unknown(type_name: str, name: str) -> str:
    numbers = [style for style in NUMBERS if _is_style(type_name, style)]
    known = {
        "date": ["d/m/y", "m/d/yyyy", "dd.mm.yy", "yyyymmdd"],
        "timestamp": ["d/m/y", "m/d/yyyy", "dd.mm.yy", "yyyymmdd", OFFSETS, SECONDS, MILLISECONDS],
    }.get(type_name, numbers)
    if not known:
        return f"style {name!r}: the type {type_name} has no styles"
    and_the_like = " and the like" if type_name in ("date", "timestamp") else ""
    return f"{name!r} is not a style of {type_name}, such as {', '.join(known)}{and_the_like}{nearest(name, known)}"


@lru_cache
def _date(name: str) -> _Date | None:
    """Return the date style of this name; None if it isn't one. `y` is a year of four digits."""
    if (match := _DATE.fullmatch(name)) is None:
        return None
    parts = tuple("yyyy" if part == "y" else part for part in match.group("first", "second", "third"))
    if not all(part in _PARTS for part in parts) or {part[0] for part in parts} != set("dmy"):
        return None
    # Without a separator, the digits could be cut in several ways if their number were not fixed.
    is_fixed = match["separator"] or all(len(_WIDTHS[part]) == 1 for part in parts)
    return _Date(parts, match["separator"]) if is_fixed else None


@lru_cache
def _marks(style: str) -> tuple[str, str]:
    """Return the mark of thousands of a number style ("" if it has none), and the decimal sign."""
    signs = re.sub("[0-9]", "", style)
    return signs[:-1], signs[-1]


def _conflict(type_name: str, one: str, two: str) -> bool:
    """Whether there is a text that the two styles read differently."""
    dates = _date(one), _date(two)
    if dates[0] is not None and dates[1] is not None:
        return dates[0].conflicts(dates[1])
    if one in NUMBERS and two in NUMBERS:
        return _has_fraction(type_name) and _numbers_conflict(_marks(one), _marks(two))
    return {one, two} == {SECONDS, MILLISECONDS}


@lru_cache
def _takes_over(type_name: str, style: str) -> bool:
    """Whether the style reads a text of the type's own form differently."""
    if (order := _date(style)) is not None:
        return order.conflicts(_ISO)
    return style in NUMBERS and _has_fraction(type_name) and _numbers_conflict(_marks(style), ("", "."))


def _numbers_conflict(one: tuple[str, str], two: tuple[str, str]) -> bool:
    """Whether the mark of thousands of one is the decimal sign of the other."""
    return one[0] == two[1] or two[0] == one[1]


def _has_fraction(type_name: str) -> bool:
    return type_name not in ("int", "bigint")


@lru_cache
def _grammar(type_name: str, style: str) -> str:
    """Return the regular expression that the whole text must match, in the syntax that Java, Rust, RE2 and Python share."""
    if (order := _date(style)) is not None:
        return order.grammar if type_name == "date" else f"{order.grammar}([ T].*)"
    if style in _EPOCH:
        return _EPOCH[style]
    mark, point = _marks(style)
    digits = f"([0-9]{{1,3}}({_MARKS[mark]}[0-9]{{3}})+|[0-9]+)" if mark else "[0-9]+"
    fraction = f"([{point}][0-9]+)?" if _has_fraction(type_name) else ""
    exponent = "([eE][+-]?[0-9]+)?" if type_name == "double" else ""
    return f"[+-]?{digits}{fraction}{exponent}"


def _case(sql: str, type_name: str, style: str) -> str:
    """SQL: a branch for the texts in a style."""
    return f"WHEN {sql} RLIKE {_whole(f'({_grammar(type_name, style)})')} THEN {_rewritten(sql, type_name, style)}"


def _rewritten(sql: str, type_name: str, style: str) -> str:
    """SQL: a text that matches a style, in the own form of the type."""
    if (order := _date(style)) is not None:
        return _iso(sql, order, _grammar(type_name, style), with_time=type_name == "timestamp")
    if style in _EPOCH:
        micros = f"CAST(CAST({sql} AS DECIMAL(21,6)) * {_MICROS[style]} AS BIGINT)"
        is_in_range = f"{micros} BETWEEN {_FIRST_MICRO} AND {_LAST_MICRO}"
        return f"CASE WHEN {is_in_range} THEN CONCAT(CAST(TIMESTAMP_MICROS({micros}) AS STRING), 'Z') END"
    mark, point = _marks(style)
    for character in _MARKS[mark].strip("[]") if mark else "":
        sql = f"REPLACE({sql}, {_literal(character)}, '')"
    return sql if point == "." else f"REPLACE({sql}, ',', '.')"


def _iso(sql: str, order: _Date, grammar: str, *, with_time: bool) -> str:
    """SQL: a date as YYYY-MM-DD, and what follows it in a timestamp."""

    def part(letter: str) -> str:
        return f"REGEXP_EXTRACT({sql}, {_whole(grammar)}, {order.group(letter)})"

    year, month, day = (part(letter) for letter in "ymd")
    if "yy" in order.parts:
        year = f"CASE WHEN {year} >= '{_OF_THE_LAST_CENTURY}' THEN '19' ELSE '20' END, {year}"
    time = f", REGEXP_EXTRACT({sql}, {_whole(grammar)}, 4)" if with_time else ""
    return f"CONCAT({year}, '-', LPAD({month}, 2, '0'), '-', LPAD({day}, 2, '0'){time})"


def _with_own_offset(sql: str) -> str:
    """SQL: a timestamp with its offset as `Z` or `+HH:MM`, if it has one."""
    pattern = _whole(_OFFSET)
    time, offset = (f"REGEXP_EXTRACT({sql}, {pattern}, {group})" for group in (1, 3))
    minutes = f"CASE WHEN LENGTH({offset}) = 3 THEN '00' ELSE RIGHT({offset}, 2) END"
    own = f"CASE WHEN {offset} RLIKE '^[+-]' THEN CONCAT(LEFT({offset}, 3), ':', {minutes}) ELSE 'Z' END"
    return f"CASE WHEN {sql} RLIKE {pattern} THEN CONCAT({time}, {own}) ELSE {sql} END"


def _reads(type_name: str, styles: Sequence[str], text: str) -> bool:
    """Whether a text that is not in the type's own form is one that the styles read."""
    own = _own_text(type_name, styles, text)
    return own not in (None, text) and _is_value(type_name, str(own))


def _is_value(type_name: str, own: str) -> bool:
    """Whether a text is a value in the own form of the type: the cast, in Python."""
    grammar = type_of(type_name).grammar
    if grammar is not None and re.fullmatch(grammar, own) is None:
        return False
    try:
        if type_name in ("date", "timestamp"):
            date.fromisoformat(own[:10])
    except ValueError:
        return False
    bits = {"int": 31, "bigint": 63}.get(type_name)
    return (bits is None or abs(int(own)) < 2**bits) and (type_name != "double" or isfinite(float(own)))


def _own_text(type_name: str, styles: Sequence[str], text: str) -> str | None:
    """Return a text as `own_form` rewrites it; None if it is out of range, or a style takes the place of the own form."""
    if OFFSETS in styles and (match := re.fullmatch(_OFFSET, text)) is not None:
        hours, minutes = match[3][:3], match[3][3:].removeprefix(":") or "00"
        text = f"{match[1]}{f'{hours}:{minutes}' if hours[0] in '+-' else 'Z'}"
    for style in (style for style in styles if style != OFFSETS):
        if (match := re.fullmatch(_grammar(type_name, style), text)) is None:
            continue
        if (order := _date(style)) is not None:
            year, month, day = (match[order.group(letter)].rjust(2, "0") for letter in "ymd")
            century = "" if len(year) == 4 else "19" if year >= _OF_THE_LAST_CENTURY else "20"
            return f"{century}{year}-{month}-{day}{match[4] if type_name == 'timestamp' else ''}"
        if style in _EPOCH:
            is_in_range = _FIRST_MICRO <= Decimal(text) * _MICROS[style] <= _LAST_MICRO
            return "1970-01-01 00:00Z" if is_in_range else None
        mark, point = _marks(style)
        return re.sub(_MARKS[mark], "", text).replace(point, ".") if mark else text.replace(point, ".")
    return None if any(_takes_over(type_name, style) for style in styles) else text


def _candidates(type_name: str, text: str) -> Iterator[tuple[str, ...]]:
    """Yield the styles, alone or together, that a text may be written in."""
    if type_name in ("date", "timestamp"):
        separator = next((mark for mark in "/.-" if text[1:5].count(mark)), "")
        orders = (("d", "m", "y"), ("m", "d", "y"), ("y", "m", "d"), ("d", "m", "yy"), ("m", "d", "yy"), ("yy", "m", "d"))
        dates = [separator.join(order) for order in orders] if separator else ["yyyymmdd", "ddmmyyyy", "mmddyyyy"]
        yield from ((order,) for order in dates)
        if type_name == "timestamp":
            # What would be a moment near 1970, or far from now, is more likely the other.
            is_short = len(re.sub("[.].*|[^0-9]", "", text)) <= 11
            yield from ((OFFSETS,), (SECONDS if is_short else MILLISECONDS,), *((order, OFFSETS) for order in dates))
    else:
        yield from ((style,) for style in NUMBERS if _is_style(type_name, style))


def _whole(pattern: str) -> str:
    """SQL: a regular expression that the whole text must match. Not `$`: in Java it also matches before a final line feed."""
    return _literal(f"^{pattern}\\z")


def _literal(text: str) -> str:
    """Return a text as a literal of Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
