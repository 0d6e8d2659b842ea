"""Guesses the type of a column from its texts. Pure functions.

A guess accepts every text that it was made from, by the written grammar of types and styles (`contracts/types.py`,
`contracts/styles.py`). What the texts leave open becomes a question, never a silent choice.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lakehouse_assets.contracts.styles import MILLISECONDS, NUMBERS, OFFSETS, SECONDS, accepts
from lakehouse_assets.new_source.meaning import confidential

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+)([.]([0-9]+))?")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?")
_STYLED = re.compile(r"[+-]?[0-9][0-9.,'\u2019 \u00a0\u202f]*")
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_FIRST = re.compile(r"[0-9]{1,4}([/. -])[0-9]{1,2}\1([0-9]{4}|[0-9]{1,2})\b")
_READABLE_DATE = re.compile(r"(?i).*[0-9].*\b(am|pm)\b|.*\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*[0-9]{2}.*")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]+([.,].*)?")
_SIGN = re.compile(r"[€$£¥%]|\b(EUR|USD|GBP|CHF|JPY)\b")
_GROUPS_ONLY = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
"""A text that is a whole number with a mark of thousands, or a number with three decimals."""

_NAME_OF_TIME = re.compile(
    r"(^|_)(date|day|time|timestamp|ts|dt|at|on|created|updated|modified|changed|since|until|start|end|birthday|dob|datum|jour)($|_)"
)
_NAME_OF_CODE = re.compile(
    r"(^|_)(zip|postal|postcode|post_code|zipcode|phone|mobile|fax|tel|ean|gtin|upc|isbn|iban|vat|siret|siren|code)($|_)"
)
_NAME_OF_MONEY = re.compile(
    r"(^|_)(amount|price|total|subtotal|cost|fee|net|gross|tax|taxes|discount|balance|revenue|refunded|tip|toll|tolls|fare|charge|surcharge|"
    r"montant|prix|valeur|betrag|preis)($|_)"
)
_YES_NO = ({"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"}, {"x"}, {"oui", "non"}, {"ja", "nein"}, {"si", "no"})

_INT_DIGITS, _BIGINT_DIGITS = 8, 18
"""A sample with no more digits is declared `int` or `bigint`: what comes later may have one more."""

_LEAST_WHOLE_DIGITS, _LEAST_SCALE, _MOST_SCALE, _MOST_PRECISION = 10, 2, 9, 38
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 4_102_444_800
"""The seconds of 1990 and 2100: numbers between them may be moments."""

_SIGN_AT = -3
"""Where a style of numbers has its decimal sign: each is written with two decimals."""

_SHOWN = 40
_NOT_SHOWN = "a value that is not shown here"
_MOSTLY = 0.8
_HEAD = 50

_ORDERS = ("d{0}m{0}y", "m{0}d{0}y", "y{0}m{0}d", "d{0}m{0}yy", "m{0}d{0}yy", "yy{0}m{0}d")
_SEPARATORS = ("/", ".", "-", " ")
_OF_DIGITS = ("yyyymmdd", "ddmmyyyy", "mmddyyyy")


@dataclass(frozen=True)
class Guess:
    """The type of a column, the styles of its texts, and what the texts leave open: sentences, each a question."""

    type: str
    styles: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


def is_money(name: str) -> bool:
    """Return whether a column of this name probably holds amounts of money."""
    return _NAME_OF_MONEY.search(name) is not None


def guess(name: str, texts: Sequence[str]) -> Guess:
    """Return the type of a column of this name (snake_case), from its distinct texts: trimmed, none empty."""
    if not texts:
        return Guess("string")  # one question asks for all columns without a value
    guessed = _boolean(texts) or _moment(name, texts) or _number(name, texts)
    return guessed or Guess("string", (), tuple(_doubts_of_text(name, texts)))


def _all(texts: Sequence[str], test: Callable[[str], object]) -> bool:
    """Whether a test holds for all texts. A column of another kind fails it soon, so this rarely looks at all."""
    return all(map(test, texts))


def _example(name: str, text: str) -> str:
    """Return a text for a question, which goes into a file: none of a confidential column, and no address."""
    return _NOT_SHOWN if "@" in text or confidential(name) else repr(text[:_SHOWN])


def _accepted(texts: Sequence[str], kind: str, *styles: str) -> bool:
    return _all(texts, lambda text: accepts(kind, styles, text))


def _boolean(texts: Sequence[str]) -> Guess | None:
    return Guess("boolean") if len(texts) <= 6 and _accepted(texts, "boolean") else None


# ── dates and times ──


def _moment(name: str, texts: Sequence[str]) -> Guess | None:
    """Return a date or timestamp, by the own form, by a style, or by a number that the column's name explains."""
    if _all(texts, _WHOLE.fullmatch):
        return _moment_in_digits(texts) if _NAME_OF_TIME.search(name) else None
    if _all(texts, _ISO_DAY.match):
        accepted = [(kind, styles) for kind, styles in _OWN_MOMENTS if _accepted(texts, kind, *styles)]
        return Guess(*accepted[0]) if accepted else None
    if not _all(texts, _DAY_FIRST.match):
        return None
    styles = [order.format(mark) for mark in _SEPARATORS for order in _ORDERS]
    for kind, further in _OWN_MOMENTS:
        if fits := [style for style in styles if _accepted(texts, kind, style, *further)]:
            return Guess(kind, (fits[0], *further), _which_order(name, texts, fits))
    return None


_OWN_MOMENTS: tuple[tuple[str, tuple[str, ...]], ...] = (("date", ()), ("timestamp", ()), ("timestamp", (OFFSETS,)))


def _which_order(name: str, texts: Sequence[str], fits: Sequence[str]) -> tuple[str, ...]:
    """Ask for the order of day, month and year if several read all texts."""
    if len(fits) == 1:
        return ()
    shown, others = _example(name, texts[0]), " or ".join(fits[1:])
    return (f"Is {shown} written as {fits[0]}, or as {others}? All texts of the sample fit: it decides which day it is.",)


def _moment_in_digits(texts: Sequence[str]) -> Guess | None:
    """Return a date or moment that is written as digits alone."""
    for style in _OF_DIGITS:
        if _all(texts, lambda text: len(text) == 8) and _accepted(texts, "date", style) and _years_are_near(texts, style):
            return Guess("date", (style,), (f"Are its eight digits a date, {style}? If not, it is an int.",))
    for style, unit in ((SECONDS, 1), (MILLISECONDS, 1000)):
        if all(_FIRST_SECOND <= int(text) / unit < _LAST_SECOND for text in texts):
            return Guess(
                "timestamp", (style,), (f"Is it a moment, in {style.removeprefix('epoch ')} since 1970? If not, a bigint.",)
            )
    return None


def _years_are_near(texts: Sequence[str], style: str) -> bool:
    position = style.index("y")
    return _all(texts, lambda text: _FIRST_YEAR <= int(text[position : position + 4]) < _LAST_YEAR)


# ── numbers ──


def _number(name: str, texts: Sequence[str]) -> Guess | None:
    """Return a number, in the own form of a type or in a style."""
    if not _all(texts, _STYLED.fullmatch) and not _all(texts, _SCIENTIFIC.fullmatch):
        return None
    if _all(texts, _WHOLE.fullmatch) and (_NAME_OF_CODE.search(name) or _all(texts, lambda text: text.startswith("+"))):
        return Guess("string")  # its digits are no quantity
    if zero := next(filter(_LEADING_ZERO.fullmatch, texts), None):
        shown = _example(name, zero)
        return Guess("string", (), (f"It has numbers with leading zeros, such as {shown}. Is it a code, and stays text?",))
    if _all(texts, _WHOLE.fullmatch):
        return _whole(name, texts)
    if _all(texts, _NUMBER.fullmatch):
        return _decimal(texts, (), [*_doubts_of_decimals(name, texts)])
    if _all(texts, _SCIENTIFIC.fullmatch):
        return Guess("double") if _accepted(texts, "double") else None
    return _in_style(name, texts)


def _whole(name: str, texts: Sequence[str]) -> Guess:
    """Return the type of whole numbers."""
    digits = max(len(text.lstrip("+-")) for text in texts)
    kind = _whole_type(digits)
    if kind is None:
        return Guess("string", (), (f"It has numbers of {digits} digits. Is it an identifier, and stays text?",))
    questions = []
    if {*texts} <= {"0", "1"}:
        questions.append(f"Is it yes or no? Then make it a boolean, and in the function: {name} = '1'.")
    elif is_money(name):
        questions.append(
            "Its amounts are whole numbers: are they in cents? Then divide them by 100 in the function, as a decimal."
        )
    return Guess(kind, (), tuple(questions))


def _whole_type(digits: int) -> str | None:
    """Return the type of whole numbers with so many digits at most; None if no type holds them."""
    return "int" if digits <= _INT_DIGITS else "bigint" if digits <= _BIGINT_DIGITS else None


def _decimal(texts: Sequence[str], styles: tuple[str, ...], questions: Sequence[str], point: str = ".") -> Guess:
    """Return the decimal that holds all texts, with room for larger ones; a double if they have too many digits."""
    parts = [text.lstrip("+-").partition(point) for text in texts]
    scale = max(_LEAST_SCALE, *(len(fraction) for _, _, fraction in parts))
    whole = max(len(re.sub("[^0-9]", "", number)) for number, _, _ in parts)
    precision = max(whole, _LEAST_WHOLE_DIGITS) + scale
    kind = f"decimal({precision},{scale})" if scale <= _MOST_SCALE and precision <= _MOST_PRECISION else "double"
    return Guess(kind, styles, tuple(questions))


def _doubts_of_decimals(name: str, texts: Sequence[str]) -> Iterator[str]:
    with_point = [text for text in texts if "." in text]
    if all(text.endswith(".0") for text in with_point):
        yield "Its numbers are whole, some with .0: are they pieces or ids? Then make it an int, and in the function: whole(...)."
    elif all(map(_GROUPS_ONLY.fullmatch, with_point)):
        shown = _example(name, with_point[0])
        yield f"Is {shown} a number with three decimals, or one with a mark of thousands? Then add styles=('1.234,56',)."


def _in_style(name: str, texts: Sequence[str]) -> Guess | None:
    """Return a number in one of the styles; the ones with fewer marks come first."""
    shapes = list({re.sub("[0-9]", "1", text) for text in texts})  # few, and read in the same styles
    fits = [style for style in sorted(NUMBERS, key=len) if _accepted(shapes, "double", style)]
    if not fits:
        return None
    fits, questions = _by_comma(name, texts, fits)
    style = fits[0]
    if any(style[_SIGN_AT] in text for text in texts):
        return _decimal(texts, (style,), questions, style[_SIGN_AT])
    whole = _whole_type(max(len(re.sub("[^0-9]", "", text)) for text in texts))
    return Guess(whole, (style,), questions) if whole else None


def _by_comma(name: str, texts: Sequence[str], fits: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return those of the fitting styles in which a comma is what it probably is in these texts; ask if it may be either."""
    decimal_comma = [style for style in fits if style[_SIGN_AT] == ","]
    with_comma = [text for text in texts if "," in text]
    if not with_comma or len(decimal_comma) in (0, len(fits)):
        return fits, ()
    if not all(map(_GROUPS_ONLY.fullmatch, with_comma)):
        return decimal_comma, ()  # no number with marks of thousands begins with a zero, as 0,350 does
    shown = _example(name, with_comma[0])
    asked = f"Is {shown} a number with a mark of thousands, or one with three decimals? Then styles=({decimal_comma[0]!r},)."
    return [style for style in fits if style not in decimal_comma], (asked,)


# ── text ──


def _doubts_of_text(name: str, texts: Sequence[str]) -> Iterator[str]:
    """Ask what text may be, if not text."""
    if len(texts) <= 2 and {text.lower() for text in texts} in _YES_NO:
        yield f"Is it yes or no ({', '.join(sorted(texts))})? Then make it a boolean, and write TRUE and FALSE in the function."
    elif _all(texts[:_HEAD], _READABLE_DATE.fullmatch):
        yield f"Is {_example(name, texts[0])} a moment? No style reads it: write it as YYYY-MM-DD HH:MM:SS in the function."
    elif _all(texts[:_HEAD], lambda text: _SIGN.search(text) and _STYLED.fullmatch(_SIGN.sub("", text).strip())):
        yield f"Is {_example(name, texts[0])} a number? Take its sign off in the function, and declare a decimal."
    elif (mostly := _mostly(name, texts)) is not None:
        yield mostly


def _mostly(name: str, texts: Sequence[str]) -> str | None:
    """Ask about a few texts among many numbers or dates."""
    for kind, pattern in (("a number", _SCIENTIFIC), ("a date", _ISO_DAY)):
        others = [text for text in texts if not pattern.fullmatch(text)]
        if others and len(others) <= (1 - _MOSTLY) * len(texts):
            shown = ", ".join(dict.fromkeys(_example(name, text) for text in others[:3]))
            return f"Most of its texts are {kind}. Does {shown} mean nothing? Then make it NULL in the function, and change the type."
    return None


def is_json(text: str, kind: type[object]) -> bool:
    """Return whether a text is a JSON value of this kind: list or dict."""
    if not text.startswith("[" if kind is list else "{"):
        return False
    try:
        return isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False
