"""Detects how a text file is written, from its beginning: encoding, delimiter, header line, the list of a JSON document's rows.

Pure functions. That a file is a workbook, Parquet or packed is detected by the readers themselves (`raw/readers`).
"""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

DELIMITERS = (",", ";", "\t", "|")
"""The delimiters that are looked for; of two that fit equally well, the first."""

_VALUE = re.compile(r"\s*([+-]?[0-9][0-9., ]*|[0-9]+[-/.][0-9]+[-/.][0-9].*|\S+@\S+)\s*")
"""What a header has no field of: a number, a date, an e-mail address."""

_RECORDS = frozenset({"data", "items", "results", "records", "value"})
"""What envelopes call the list of their records."""

_SEEN_LINES = 200
_LEVELS = 3


def encoding_of(start: bytes) -> str | None:
    """Return the encoding of a text that has no byte order mark; None if all of it is ASCII, so that many encodings fit.

    What is not UTF-8 is taken for Windows-1252, or Latin-1 if it has a byte that Windows-1252 does not define.
    """
    if start.isascii():
        return None
    for encoding in ("utf-8", "cp1252"):
        try:
            # The beginning of a file may end within a character.
            codecs.getincrementaldecoder(encoding)().decode(start)
        except UnicodeDecodeError:
            continue
        return encoding
    return "iso8859-1"


def delimiter_of(text: str) -> str:
    """Return the delimiter that cuts the most lines of a text into the same number of fields, and into the most."""
    lines = text.splitlines()[:_SEEN_LINES]

    def fit(delimiter: str) -> tuple[int, int]:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        except csv.Error:
            return 0, 0
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]), default=(0, 0))
        return (count, width) if width > 1 else (0, 0)

    return max(DELIMITERS, key=fit)


def first_rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the first rows of a delimited text."""
    return [row for row in csv.reader(text.splitlines()[:_SEEN_LINES], delimiter=delimiter) if row]


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of these rows is a header: none of its fields is a number, a date or an address.

    If a name in it is there twice, a column has to be all of such values below it.
    """
    given = [name.strip() for name in rows[0] if name.strip()] if rows else []
    if not given or any(map(_VALUE.fullmatch, given)):
        return False
    return len(set(given)) == len(given) or has_values(rows[1:])


def has_values(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a column of these rows has numbers, dates or addresses only: a header above it is no row."""
    columns = ([field for field in column if field.strip()] for column in zip_longest(*rows, fillvalue=""))
    return any(column and all(map(_VALUE.fullmatch, column)) for column in columns)


def records_of(document: Any) -> str | None:
    """Return where in a JSON document its records are, such as `data.items`; None if it is a record.

    They are a list of objects: rather one that is called, or is in an object called, `data`, `items`, `results`, `records` or `value`;
    of several, the one that is less deep, then the longest. An object with an `id` of its own is a record, whatever lists it has.
    """
    lists = list(_lists(document, (), _LEVELS)) if isinstance(document, dict) and "id" not in document else []
    return max(lists, key=_likelihood)[0] if lists else None


def _likelihood(candidate: tuple[str, int]) -> tuple[bool, bool, int, int]:
    """Return what says that a list has the records, the strongest first, from its path and length."""
    path, length = candidate
    names = path.lower().split(".")
    return names[-1] in _RECORDS, not _RECORDS.isdisjoint(names), -len(names), length


def _lists(node: dict[str, Any], path: tuple[str, ...], levels: int) -> list[tuple[str, int]]:
    """Return the paths of the lists of objects below an object, with their lengths."""
    lists = []
    for key, value in node.items():
        if "." in key or not key:
            continue  # a path could not name it
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lists.append((".".join((*path, key)), len(value)))
        elif isinstance(value, dict) and levels > 1:
            lists += _lists(value, (*path, key), levels - 1)
    return lists


def first_document(text: str) -> Any:
    """Return the first JSON document of a text; None if there is none."""
    try:
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    except (json.JSONDecodeError, RecursionError):
        return None
