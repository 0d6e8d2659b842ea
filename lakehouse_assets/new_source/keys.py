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

_ENOUGH_ROWS = 100
"""In so many rows, a column is hardly unique by chance: no pair is needed."""


@dataclass(frozen=True)
class Keys:
    """The columns that identify a row in each file, the likeliest first, and whether each does so over all files, too.

    `repeated` is how many rows of a file are the same as another one of it in all values.
    """

    candidates: tuple[tuple[str, ...], ...]
    across_files: bool
    repeated: int


def keys_of(rows: "pa.Table", columns: Sequence[str], telling: Sequence[str], own: Sequence[str] = ()) -> Keys:
    """Find the keys among some columns. `telling` are those whose names say that they identify something, the likeliest first.

    `own` are those of them that say: the row itself. Any other, such as the number of an article in the lines of an order, may be
    unique by chance in a small sample; then a pair of telling columns is likelier.

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
        unique = _unique(connection, ordered, telling, own, count)
        across = bool(unique) and _distinct(connection, [unique[0]], ())[0] == count
    return Keys(tuple(tuple(sorted(key, key=columns.index)) for key in unique), across, rows.num_rows - count)


def _unique(
    connection: "duckdb.DuckDBPyConnection", columns: Sequence[str], telling: Sequence[str], own: Sequence[str], count: int
) -> list[tuple[str, ...]]:
    """Return the columns and pairs that are unique within each file, the likeliest first.

    That is a column of the row's own, or any telling one in a large sample; else pairs of telling columns, then telling columns.
    """
    single: list[tuple[str, ...]] = [(name,) for name in columns[:_MOST_SINGLE]]
    sizes = dict(zip(single, _distinct(connection, single), strict=True))
    present = [key for key in single if sizes[key] >= 0]
    keys = [key for key in present if sizes[key] == count]
    if any(key[0] in (telling if count >= _ENOUGH_ROWS else own) for key in keys):
        return keys
    named = [key for key in keys if key[0] in telling]
    pairs = [
        (*one, *two)
        for one, two in combinations([key for key in present if key in named or key not in keys][:_MOST_IN_PAIRS], 2)
        if sizes[one] * sizes[two] >= count and (not {one, two} & {*named} or {*one, *two} <= {*telling})
    ]
    unique = [pair for pair, size in zip(pairs, _distinct(connection, pairs), strict=True) if size == count]
    both, one_of_two, neither = ([pair for pair in unique if len({*pair} & {*telling}) == n] for n in (2, 1, 0))
    others = [key for key in keys if key not in named]
    return [*both, *named, *one_of_two, *others, *neither]


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
