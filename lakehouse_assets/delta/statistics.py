"""Statistics of data files: of each row group in the footers of Parquet files, of each file in the entries of Delta's log.

A reader skips a file whose bounds exclude the values that it looks for, without opening it. What has no bounds is read.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lakehouse_assets.contracts.types import from_delta

TEXT_LENGTH = 64
"""Longer texts are cut in statistics."""

_LAST_CHARACTER = "\U0010ffff"
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_IN_FOUR_DIGIT_YEAR = re.compile(r"\d{4}-\d{2}-\d{2}( [0-9:.]+([+]00)?)?")

Bounds = tuple[str, str]
"""No value of a column is less than the first or greater than the second, as texts that DuckDB casts to the column's type."""


@dataclass(frozen=True)
class Chunk:
    """A column in one row group: rows, NULLs, least and greatest value, as texts by DuckDB. None is unknown.

    Texts have at most one character more than `TEXT_LENGTH`.
    """

    rows: int
    nulls: int | None
    least: str | None
    greatest: str | None


Footer = dict[str, list[Chunk]]
"""The columns of a Parquet file by name; none if the file has no row group."""


def rows_of(footer: Footer) -> int:
    """How many rows a file has."""
    return sum(chunk.rows for chunk in next(iter(footer.values()), []))


def bounds(chunks: Sequence[Chunk], kind: str) -> Bounds | None:
    """The bounds of a column of the Spark type `kind`; None if they are unknown, or if readers don't agree on their order."""
    # A row group of NULLs has no bounds.
    valued = [chunk for chunk in chunks if chunk.nulls != chunk.rows]
    least = [chunk.least for chunk in valued if chunk.least is not None]
    greatest = [chunk.greatest for chunk in valued if chunk.greatest is not None]
    if not valued or len(least) < len(valued) or len(greatest) < len(valued):
        return None
    if kind in _WHOLE:
        return str(min(map(int, least))), str(max(map(int, greatest)))
    if kind.startswith("decimal"):
        return str(min(map(Decimal, least))), str(max(map(Decimal, greatest)))
    if kind == "string":
        return _text_bounds(min(least), max(greatest))
    if kind in ("date", "timestamp", "timestamp_ntz") and all(map(_IN_FOUR_DIGIT_YEAR.fullmatch, [*least, *greatest])):
        return min(least), max(greatest)  # these texts sort like the values
    if kind == "boolean":
        return min(least), max(greatest)
    # The bounds of floating-point numbers leave out NaN, like those that delta-rs writes. Silver tables have none.
    if kind in ("float", "double") and all(math.isfinite(float(value)) for value in (*least, *greatest)):
        return str(min(map(float, least))), str(max(map(float, greatest)))
    return None


def statistics_json(rows: int, footer: Footer | None, types: Mapping[str, str]) -> str:
    """The field `stats` of a file in Delta's log, with the table's columns (name to type in the Delta schema).

    If a column's bounds are unknown, the rows stand alone: delta-rs 1.6.6 finds no value of a column without bounds, once another
    has them (`to_pyarrow_dataset`).
    """
    statistics: dict[str, Any] = {"numRecords": rows}
    if footer is None:
        return json.dumps(statistics)
    least, greatest, nulls = {}, {}, {}
    for name, kind in types.items():
        counts = [chunk.nulls for chunk in footer.get(name, [])]
        if None in counts:
            return json.dumps(statistics)
        nulls[name] = sum(filter(None, counts)) if counts else rows
        if nulls[name] == rows:
            continue
        low, high = (_in_json(value, from_delta(kind)) for value in bounds(footer[name], from_delta(kind)) or (None, None))
        if low is None or high is None:
            return json.dumps(statistics)
        least[name], greatest[name] = low, high
    # Not as escapes: delta-rs reads those of U+10FFFF as U+FFFFF.
    return json.dumps(statistics | {"minValues": least, "maxValues": greatest, "nullCount": nulls}, ensure_ascii=False)


def _text_bounds(least: str, greatest: str) -> Bounds | None:
    """The bounds of texts, cut. The cut upper bound ends with the greatest character there is."""
    low, high, cut = least[:TEXT_LENGTH], greatest[:TEXT_LENGTH], greatest[TEXT_LENGTH:]
    if cut.startswith(_LAST_CHARACTER):
        return None
    return low, high + (_LAST_CHARACTER if cut else "")


def _in_json(value: str | None, kind: str) -> Any:
    """A bound as Delta writes it in JSON; None for one that a reader may round."""
    if value is None:
        return None
    if kind in _WHOLE:
        return int(value)
    if kind.startswith("decimal"):
        # Some readers take a number for floating-point, which keeps 15 digits.
        return float(value) if len(re.sub("[-.]", "", value)) <= 15 else None
    if kind == "boolean":
        return value == "true"
    if kind in ("float", "double"):
        return float(value)
    if kind.startswith("timestamp"):
        return value.replace(" ", "T").replace("+00", "Z")
    return value
