"""Which columns identify a row: unique and never empty, alone or in pairs, over all rows of the sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FILE = "_file"
"""The column of `rows` that says which file a row is from."""

_MOST_SINGLE, _MOST_IN_PAIRS = 30, 12
"""So many columns are tried alone and in pairs, those with telling names first."""


@dataclass(frozen=True)
class Keys:
    """The columns that identify a row in each file, the likeliest first, and whether each does so over all files, too.

    `repeated` is how many rows of a file are the same as another one of it in all values.
    """

    candidates: tuple[tuple[str, ...], ...]
    across_files: bool
    repeated: int


def keys_of(rows: "pa.Table", columns: Sequence[str], telling: Sequence[str]) -> Keys:
    """Find the keys among some columns. `telling` are those whose names say that they identify something, the likeliest first.

    `rows` has text columns, and the column `FILE`. Blanks around a value don't count. Rows of a file that are equal in all values are
    one row.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.register("sample", rows)
        every = ", ".join(f"NULLIF(TRIM({_quoted(name)}), '') AS {_quoted(name)}" for name in rows.column_names if name != FILE)
        connection.execute(f"CREATE TABLE distinct_rows AS SELECT DISTINCT {FILE}{', ' if every else ''}{every} FROM sample")
        [(count,)] = connection.execute("SELECT count(*) FROM distinct_rows").fetchall()
        ordered = [*telling, *(c for c in columns if c not in telling)]
        found = _unique(connection, ordered, telling, count)
        across = bool(found) and _distinct(connection, [found[0]], ())[0] == count
    return Keys(tuple(tuple(sorted(key, key=columns.index)) for key in found), across, rows.num_rows - count)


def _unique(
    connection: "duckdb.DuckDBPyConnection", columns: Sequence[str], telling: Sequence[str], count: int
) -> list[tuple[str, ...]]:
    """Return the columns and pairs that are unique within each file: telling ones first, single ones before pairs."""
    single: list[tuple[str, ...]] = [(name,) for name in columns[:_MOST_SINGLE]]
    sizes = dict(zip(single, _distinct(connection, single), strict=True))
    present = [key for key in single if sizes[key] >= 0]
    found = [key for key in present if sizes[key] == count]
    if any(key[0] in telling for key in found):
        return found
    pairs = [
        (*one, *two)
        for one, two in combinations([key for key in present if key not in found][:_MOST_IN_PAIRS], 2)
        if sizes[one] * sizes[two] >= count
    ]
    unique = [pair for pair, size in zip(pairs, _distinct(connection, pairs), strict=True) if size == count]
    likely = sorted((pair for pair in unique if {*pair} & {*telling}), key=lambda pair: -len({*pair} & {*telling}))
    return [*likely, *found, *(pair for pair in unique if pair not in likely)]


def _distinct(
    connection: "duckdb.DuckDBPyConnection", keys: Sequence[tuple[str, ...]], within: tuple[str, ...] = (FILE,)
) -> list[int]:
    """Count the distinct values of each key; -1 if one of its columns has an empty value."""
    if not keys:
        return []
    counted = []
    for key in keys:
        empty = " OR ".join(f"{_quoted(name)} IS NULL" for name in key)
        values = ", ".join(map(_quoted, (*within, *key)))
        counted.append(f"CASE WHEN bool_or({empty}) THEN -1 ELSE count(DISTINCT ({values})) END")
    [sizes] = connection.execute(f"SELECT {', '.join(counted)} FROM distinct_rows").fetchall()
    return list(sizes)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
