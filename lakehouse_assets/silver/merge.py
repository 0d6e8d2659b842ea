"""Reconciles staged rows with the rows that other partitions have of the same keys, and those of large dates with each other.

DuckDB reads only the deciding columns of these keys and finds the rows whose state changes: a live row is superseded, a
superseded row is live again, a row version ends earlier. The engine then rewrites the files with such a row; all others stay as they
are.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.books.set_aside import BATCH, DROPPED, SUPERSEDED, WAITING, Deliveries, SetAside
from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN, FEED, FILE, IDENTITY, ITEM, ROW, typed_columns
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.duck import files_view, files_with_keys, rows_of_files
from lakehouse_assets.delta.key_filter import is_worthwhile, key_filter
from lakehouse_assets.delta.tables import sql_date, sql_name, sql_text
from lakehouse_assets.silver.judge import OK, VERDICT, table_columns, validity
from lakehouse_assets.silver.stage import (
    MOST_SMALL_FILES,
    ROWS_PER_FILE,
    Stage,
    is_staged,
    landed_view,
    pieces_to_merge,
    staged_columns,
)
from lakehouse_assets.silver.winners import (
    DELETED,
    ENDED_BEFORE,
    ENDED_ON,
    LIVE,
    VALID_FROM,
    VALID_TO,
    deciding_columns,
    identity,
    in_duckdb,
    resolve_winners,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_NEW_VERDICT = "_new_verdict"
_END = "end of a key"
"""The verdict of a helper row for the delivery that ends a key. No table has this row."""


@dataclass(frozen=True)
class Held:
    """The rows of a table version, or of some of its dates: the files of live rows (see `live_files`), and rows set aside."""

    files: list[dict[str, Any]]
    aside: SetAside

    @property
    def rows(self) -> dict[str, int]:
        """The files with live and superseded rows, and how many rows each has; of a batch's files, each its share."""
        superseded = self.aside.with_reason(SUPERSEDED).batches
        shares = {file: 1 + sum(batch.rows.values()) // len(batch.files) for batch in superseded for file in batch.files}
        return {file["path"]: file["num_records"] for file in self.files} | shares

    def in_files(self, files: Collection[str]) -> "Held":
        """Return the part in some of the files."""
        return Held([f for f in self.files if f["path"] in files], self.aside.with_files(files))

    def of(self, dates: Collection[date]) -> "Held":
        """Return the part with the given dates."""
        return Held([f for f in self.files if f["date"] in dates], self.aside.of(dates))

    def without(self, dates: Collection[date]) -> "Held":
        """Return the part with all other dates."""
        return Held([f for f in self.files if f["date"] not in dates], self.aside.without(dates))

    @property
    def count(self) -> int:
        """How many rows these are."""
        live: int = sum(f["num_records"] for f in self.files)
        return live + self.aside.count

    @property
    def compacted_dates(self) -> set[date]:
        """The dates with a file that `lakehouse maintain` has compacted."""
        return {f["date"] for f in self.files if not is_staged(f["path"])}


def changed_rows(stage: Stage, replaced: Held, others: Held, deliveries: Deliveries) -> "pa.Table":
    """Find rows whose state must change: `IDENTITY`, `_new_verdict`, and for a history `_valid_from` and `_valid_to`.

    `replaced` are the rows that the commit removes; `others` those of all other partitions. `deliveries` are the complete
    deliveries that count after the commit, for feeds that have them.
    """
    contract, connection = stage.contract, stage.connection
    is_complete = any(feed.complete for feed in stage.table.feeds)
    _open_views(stage, "replaced", replaced)
    competing = ["staged"]
    if is_complete:
        # A complete delivery may end any key.
        _open_views(stage, "other", others)
        competing.append("other")
    elif others.rows:
        _find(stage, others)
        competing.append("found")
    candidates = " UNION ALL ".join(
        f"SELECT {_decides(contract, verdict)} FROM {rows}_{verdict}" for rows in competing for verdict in (OK, SUPERSEDED)
    )
    if is_complete:
        candidates = _with_ends(stage, candidates, deliveries)
    elif contract.mode != "history":
        candidates = _with_rivals(stage, candidates)
    resolved = f"({candidates})"
    for columns in resolve_winners(contract, with_deliveries=is_complete):
        added = ", ".join(f"{in_duckdb(sql)} AS {name}" for name, sql in columns.items())
        resolved = f"(SELECT *, {added} FROM {resolved})"
    verdict = f"CASE WHEN {LIVE} THEN '{OK}' ELSE '{SUPERSEDED}' END"
    differs = f"{verdict} <> {VERDICT}"
    columns_out = [*IDENTITY, f"{verdict} AS {_NEW_VERDICT}"]
    if contract.validity:
        valid_from = VALID_FROM if is_complete else f'"{contract.valid_from}"'
        columns_out += [f"{valid_from} AS {VALID_FROM}", VALID_TO]
        differs += f" OR ({LIVE} AND ({VALID_TO} IS DISTINCT FROM valid_to OR {valid_from} IS DISTINCT FROM valid_from))"
    changes: pa.Table = connection.execute(
        f"SELECT {', '.join(columns_out)} FROM {resolved} WHERE {VERDICT} <> '{_END}' AND ({differs})"
    ).to_arrow_table()
    return changes


def _open_views(stage: Stage, name: str, held: Held) -> None:
    """Create the views `<name>_<verdict>` over live rows, and over rows set aside for each reason."""
    types = {column: kind for column, kind in staged_columns(stage.contract).items() if column != BROKEN_RULES}
    files_view(stage.connection, f"{name}_{OK}", stage.uri, held.files, types)
    for reason in (SUPERSEDED, WAITING, DROPPED):
        aside = held.aside.with_reason(reason)
        landed_view(stage.connection, f"{name}_{reason}", stage.uri, aside.files, types, aside.count, aside.places)


def _find(stage: Stage, others: Held) -> None:
    """Create the tables `found_<verdict>`, of those of the other rows that have a key of a staged or removed row.

    Only files are read that may have such a key, by the bounds of their columns and by the key filter.
    """
    contract, connection, folder = stage.contract, stage.connection, stage.folder
    key = ", ".join(f'"{name}"' for name in identity(contract))
    # A removed row is no longer a candidate, but rows that it superseded may become live again.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE keys AS "
        + " UNION ".join(f"SELECT {key} FROM {rows}_{verdict}" for rows in ("staged", "replaced") for verdict in (OK, SUPERSEDED))
    )
    types = {name: kind for name, kind in staged_columns(contract).items() if name in contract.key}
    bounds = {file["path"]: file["bounds"] for file in others.files} | others.aside.bounds
    possible = files_with_keys(connection, "keys", types, list(bounds.values()))
    to_read = others.in_files({file for file, may_have in zip(bounds, possible, strict=True) if may_have})
    known = key_filter(folder.root, folder.layer, folder.table, types) if is_worthwhile(sum(to_read.rows.values())) else None
    if known is not None:
        to_read = to_read.in_files(to_read.rows.keys() - known.files_without(connection, "keys", to_read.rows))
    _open_views(stage, "other", to_read)
    for verdict in (OK, SUPERSEDED):
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE found_{verdict} AS
                SELECT {_decides(contract, verdict)} FROM other_{verdict} SEMI JOIN keys USING ({key})"""
        )
    if known is not None and is_worthwhile(sum(to_read.rows.values())):
        days = {day for (day,) in connection.execute(f"SELECT DISTINCT {DATE_COLUMN} FROM found_{OK}").fetchall()}
        # Where most files have one of the keys, a filter would not help the next time either.
        if 2 * sum(to_read.of(days).rows.values()) < sum(to_read.rows.values()):
            known.extend(connection, to_read.rows, kept=others.rows)


def _with_rivals(stage: Stage, candidates: str) -> str:
    """SQL: the candidates that a write mode without validity may give another verdict. A live row alone with its key stays live."""
    key = f"hash({', '.join(sql_name(name) for name in identity(stage.contract))})"
    # By hashes, because a table of all keys may not fit into memory. Two keys of one hash are looked at in vain.
    stage.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE contested AS
            SELECT {key} AS key FROM ({candidates}) GROUP BY ALL HAVING count(*) > 1 OR bool_or({VERDICT} <> '{OK}')"""
    )
    return f"SELECT * FROM ({candidates}) WHERE {key} IN (FROM contested)"


def _with_ends(stage: Stage, candidates: str, deliveries: Deliveries) -> str:
    """SQL: the candidates with the dates when deliveries deleted their key, and for a history a tombstone per deletion.

    A key of a feed is present on the dates of its rows, including bad rows. The first delivery after such a date ends the key,
    unless the key is present again by the delivery's date.
    """
    contract, connection = stage.contract, stage.connection
    days = [f"({sql_text(feed)}, {sql_date(day)})" for feed, dates in sorted(deliveries.items()) for day in sorted(dates)]
    listed = f"VALUES {', '.join(days)}" if days else "SELECT NULL, NULL WHERE FALSE"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE delivered AS SELECT CAST(feed AS VARCHAR) AS feed, CAST(day AS DATE) AS day "
        f"FROM ({listed}) AS d (feed, day)"
    )
    key = ", ".join(f'"{name}"' for name in contract.key)
    views = [f"{rows}_{reason}" for rows in ("staged", "other") for reason in (OK, SUPERSEDED, WAITING, DROPPED)]
    present = " UNION ".join(f"SELECT {key}, {FEED}, {DATE_COLUMN} FROM {view}" for view in views)
    by_key = f"PARTITION BY {key}, {FEED} ORDER BY {DATE_COLUMN}"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE presence AS
            SELECT {key}, {FEED}, {DATE_COLUMN},
                min(ended) OVER ({by_key} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS {ENDED_ON},
                max(ended) OVER ({by_key} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS {ENDED_BEFORE},
                ended
            FROM (SELECT p.*, CASE WHEN day < coalesce(lead({DATE_COLUMN}) OVER ({by_key}), DATE '9999-12-31') THEN day END AS ended
                  FROM ({present}) AS p ASOF LEFT JOIN delivered AS d ON p.{FEED} = d.feed AND p.{DATE_COLUMN} < d.day)"""
    )
    with_presence = (
        f"SELECT c.*, {ENDED_ON}, {ENDED_BEFORE} FROM ({candidates}) AS c LEFT JOIN presence USING ({key}, {FEED}, {DATE_COLUMN})"
    )
    if contract.mode != "history":
        return with_presence
    moment = contract.validity[0].type
    values: dict[str, str] = {
        **dict.fromkeys(contract.sequence_columns[:1], f"CAST(ended AS {moment})"),
        FEED: FEED,
        FILE: "''",
        ROW: "0",
        ITEM: "0",
        DATE_COLUMN: "ended",
    }
    columns = [
        f'"{name}"' if name in contract.key else f'{values.get(name, "NULL")} AS "{name}"'
        for name in dict.fromkeys([*deciding_columns(contract), *IDENTITY])
    ]
    ends = f"""SELECT {", ".join(columns)}, TRUE AS {DELETED}, '{_END}' AS {VERDICT}, NULL AS valid_from, NULL AS valid_to,
               NULL AS {ENDED_ON}, NULL AS {ENDED_BEFORE} FROM presence WHERE ended IS NOT NULL"""
    return f"{with_presence} UNION ALL {ends}"


def with_changes(stage: Stage, current: Held, changes: "pa.Table") -> Held:
    """Return the files of live rows, and the batches and dates of superseded ones, that hold one of the `changes`."""
    if not changes.num_rows:
        return Held([], SetAside())
    connection, own = stage.connection, typed_columns((FEED, FILE, ROW, ITEM))
    changed = current.of(set(changes.column(DATE_COLUMN).to_pylist()))
    by_path = {f"{stage.uri}/{f['path']}": f for f in changed.files}
    superseded = changed.aside.with_reason(SUPERSEDED)
    rows = sum(f["num_records"] for f in changed.files)
    live = rows_of_files(list(by_path), own, rows, {"_path": "filename"})
    columns = {**own, BATCH: "string"}
    landed_view(connection, "by_batch", stage.uri, superseded.files, columns, superseded.count, superseded.places)
    connection.register("changes", changes)
    # The date is compared here: a join with it would keep DuckDB from skipping row groups by the other columns.
    found = connection.execute(
        f"SELECT DISTINCT _path, {DATE_COLUMN} FROM ({live}) JOIN changes USING ({', '.join(own)})"
    ).fetchall()
    same_row = f"SEMI JOIN changes USING ({', '.join(IDENTITY)})"
    places = set(connection.execute(f"SELECT DISTINCT {BATCH}, {DATE_COLUMN} FROM by_batch {same_row}").fetchall())
    connection.unregister("changes")
    files = [file for path, day in found if (file := by_path[path])["date"] == day]
    return Held(files, superseded.of_places(places))


def with_small_files(rewritten: Held, current: Held, dates: Collection[date]) -> Held:
    """Add small files of the given dates to what is rewritten, where a date has too many: see `pieces_to_merge`."""
    paths, files = {f["path"] for f in rewritten.files}, list(rewritten.files)
    for day in dates:
        others = (f for f in current.files if f["date"] == day and f["path"] not in paths)
        small = sorted((f for f in others if f["num_records"] < ROWS_PER_FILE), key=lambda f: f["num_records"])
        files += small[: pieces_to_merge([f["num_records"] for f in small], MOST_SMALL_FILES)]
    return Held(files, rewritten.aside)


def merged(
    session: "SparkSession",
    folder: DataFolder,
    contract: Contract,
    live: "DataFrame",
    superseded: "DataFrame | None",
    changes: "pa.Table",
) -> "DataFrame":
    """Return all rows of the rewritten partitions in their new state, with the same columns as from `decide`.

    `live` has the columns of the table, `superseded` those of the stage; None means no rows.
    """
    columns = [f"`{name}`" for name in table_columns(contract) if name not in IDENTITY]
    current = live.selectExpr(*columns, *IDENTITY, f"FALSE AS {DELETED}", f"'{OK}' AS {VERDICT}")
    if superseded is not None:
        current = current.unionByName(superseded.selectExpr(*columns, *IDENTITY, DELETED, f"'{SUPERSEDED}' AS {VERDICT}"))
    own = {name: f"_changed{name}" for name in IDENTITY}
    changed = session.read.parquet(folder.put(changes, "changes")).withColumnsRenamed(own)
    joined = current.join(changed, on=[current[name] == changed[other] for name, other in own.items()], how="left")
    new_verdict = f"COALESCE({_NEW_VERDICT}, {VERDICT})"
    kept = [
        f"CASE WHEN {_NEW_VERDICT} IS NULL THEN {old} ELSE {name} END AS {name}"
        for old, name in ((("valid_from", VALID_FROM), ("valid_to", VALID_TO)) if contract.validity else ())
    ]
    resolved = joined.selectExpr(
        *(f"`{name}`" for name in contract.column_names), *kept, *IDENTITY, BROKEN_RULES, DELETED, f"{new_verdict} AS {VERDICT}"
    )
    return resolved.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *validity(contract, f"{VERDICT} = '{OK}'", VALID_FROM, VALID_TO),
        *IDENTITY,
        BROKEN_RULES,
        DELETED,
        VERDICT,
    )


def _decides(contract: Contract, verdict: str) -> str:
    """SQL: of rows with a verdict, the columns that decide, those of `IDENTITY`, `_deleted`, `_verdict`, and a history's validity."""
    deciding = [*(f'"{name}"' for name in deciding_columns(contract)), *IDENTITY]
    # Live rows are no tombstones, and compacted tables lack the column.
    deleted = "FALSE" if verdict == OK else DELETED
    validity_columns = ["valid_from", "valid_to"] if contract.validity else []
    return ", ".join([*deciding, f"{deleted} AS {DELETED}", f"'{verdict}' AS {VERDICT}", *validity_columns])
