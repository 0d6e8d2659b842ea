"""Merges staged rows with what other partitions hold of their keys.

DuckDB looks at the deciding columns of these keys alone and finds the rows that have to change their state: one that stood is
superseded, one comes back, a version ends earlier. The engine then writes the partitions anew that hold such a row; all others stay
as they are.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.silver.audit import BROKEN_RULES, OK, SUPERSEDED, VERDICT, table_columns, validity
from lakehouse_assets.silver.stage import Stage, landed_view, staged_columns
from lakehouse_assets.silver.versions import (
    DELETED,
    OWN_COLUMNS,
    STANDS,
    VALID_TO,
    deciding_columns,
    identity,
    in_duckdb,
    settle,
)
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.engine_files import DataFolder
from lakehouse_assets.storage.superseded import Superseded

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_NEW_VERDICT = "_new_verdict"


@dataclass(frozen=True)
class Standing:
    """What a version of a table holds, or some dates of it: the files of its rows (as `live_files` gives them), and superseded rows."""

    files: list[dict[str, Any]]
    superseded: Superseded

    def of(self, dates: Collection[date]) -> "Standing":
        """What it holds of some dates."""
        return Standing([f for f in self.files if f["date"] in dates], self.superseded.of(dates))

    def without(self, dates: Collection[date]) -> "Standing":
        """What it holds of all other dates."""
        return Standing([f for f in self.files if f["date"] not in dates], self.superseded.without(dates))


def changed_rows(stage: Stage, void: Standing, others: Standing) -> "pa.Table":
    """The rows whose state is another one than staged or now: `OWN_COLUMNS`, `_new_verdict`, and `_valid_to` for a history.

    `void` are the rows that the commit takes out; `others` those of all other partitions.
    """
    contract, connection = stage.contract, stage.connection
    types = {name: kind for name, kind in staged_columns(contract).items() if name != BROKEN_RULES}
    for name, standing in (("void", void), ("other", others)):
        files_view(connection, f"{name}_{OK}", stage.uri, standing.files, types)
        superseded = standing.superseded
        landed_view(connection, f"{name}_{SUPERSEDED}", stage.uri, superseded.files, types, superseded.places)
    key = ", ".join(f'"{name}"' for name in identity(contract))
    decides = ", ".join(f'"{name}"' for name in deciding_columns(contract)) + ", " + ", ".join(OWN_COLUMNS)
    # A row that is void takes part no more, but what it stood before may come back.
    candidates = " UNION ALL ".join(
        f"SELECT {decides}, {_deleted(verdict)} AS {DELETED}, '{verdict}' AS {VERDICT}{_until(contract)} FROM {view}"
        for view, verdict in (
            (f"staged_{OK}", OK),
            (f"staged_{SUPERSEDED}", SUPERSEDED),
            (f"(FROM other_{OK} SEMI JOIN keys USING ({key}))", OK),
            (f"(FROM other_{SUPERSEDED} SEMI JOIN keys USING ({key}))", SUPERSEDED),
        )
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE keys AS "
        + " UNION ".join(f"SELECT {key} FROM {rows}_{verdict}" for rows in ("staged", "void") for verdict in (OK, SUPERSEDED))
    )
    settled = f"({candidates})"
    for columns in settle(contract):
        added = ", ".join(f"{in_duckdb(sql)} AS {name}" for name, sql in columns.items())
        settled = f"(SELECT *, {added} FROM {settled})"
    verdict = f"CASE WHEN {STANDS} THEN '{OK}' ELSE '{SUPERSEDED}' END"
    ends_otherwise = f" OR ({STANDS} AND {VALID_TO} IS DISTINCT FROM valid_to)" if contract.validity else ""
    told = ", ".join([*OWN_COLUMNS, f"{verdict} AS {_NEW_VERDICT}", *([VALID_TO] if contract.validity else [])])
    found: pa.Table = connection.execute(
        f"SELECT {told} FROM {settled} WHERE {verdict} <> {VERDICT}{ends_otherwise}"
    ).to_arrow_table()
    return found


def merged(
    session: "SparkSession",
    folder: DataFolder,
    contract: Contract,
    standing: "DataFrame",
    superseded: "DataFrame | None",
    changes: "pa.Table",
) -> "DataFrame":
    """All rows of the partitions that are written anew, as `audited` gives them, in their new state.

    `standing` has the columns of the table, `superseded` those of the stage; None is no row.
    """
    columns = [f"`{name}`" for name in table_columns(contract) if name not in OWN_COLUMNS]
    was = standing.selectExpr(*columns, *OWN_COLUMNS, f"FALSE AS {DELETED}", f"'{OK}' AS {VERDICT}")
    if superseded is not None:
        was = was.unionByName(superseded.selectExpr(*columns, *OWN_COLUMNS, DELETED, f"'{SUPERSEDED}' AS {VERDICT}"))
    own = {name: f"_changed{name}" for name in OWN_COLUMNS}
    changed = session.read.parquet(folder.put(changes, "changes")).withColumnsRenamed(own)
    joined = was.join(changed, on=[was[name] == changed[other] for name, other in own.items()], how="left")
    new_verdict = f"COALESCE({_NEW_VERDICT}, {VERDICT})"
    until = f"CASE WHEN {_NEW_VERDICT} IS NULL THEN valid_to ELSE {VALID_TO} END"
    settled = joined.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *([f"{until} AS {VALID_TO}"] if contract.validity else []),
        *OWN_COLUMNS,
        BROKEN_RULES,
        DELETED,
        f"{new_verdict} AS {VERDICT}",
    )
    return settled.selectExpr(
        *(f"`{name}`" for name in contract.column_names),
        *validity(contract, f"{VERDICT} = '{OK}'", VALID_TO),
        *OWN_COLUMNS,
        BROKEN_RULES,
        DELETED,
        VERDICT,
    )


def _deleted(verdict: str) -> str:
    """No row that stands is a tombstone, and a table that upkeep has compacted has no column that says so."""
    return "FALSE" if verdict == OK else DELETED


def _until(contract: Contract) -> str:
    return ", valid_to" if contract.validity else ""
