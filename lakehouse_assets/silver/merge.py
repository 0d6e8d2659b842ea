"""Reconciles new rows with the rows that other partitions have of the same keys, and those of large dates with each other.

A look-up reads only the deciding columns of these keys and finds the rows whose state changes: a live row is superseded, a
superseded row is live again, a row version ends earlier. The engine then rewrites the files with such a row; all others stay as they
are.
"""

from bisect import bisect_right
from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.books.set_aside import DROPPED, SUPERSEDED, WAITING, Deliveries
from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN, FEED, FILE, IDENTITY, ITEM, ROW
from lakehouse_assets.delta.tables import split_folder
from lakehouse_assets.silver.held import Held
from lakehouse_assets.silver.judge import OK, VERDICT, table_columns, validity
from lakehouse_assets.silver.look_up import Changes, LookUp, Opened
from lakehouse_assets.silver.stage import MOST_SMALL_FILES, ROWS_PER_FILE, Stage, pieces_to_merge, staged_columns
from lakehouse_assets.silver.winners import (
    DELETED,
    ENDED_BEFORE,
    ENDED_ON,
    LIVE,
    VALID_FROM,
    VALID_TO,
    Projection,
    deciding_columns,
    identity,
    resolve_winners,
    state_alone,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_NEW_VERDICT = "_new_verdict"
_END = "end of a key"
"""The verdict of a helper row for the delivery that ends a key. No table has this row."""


def changed_rows(look_up: LookUp, stage: Stage, of: Opened, replaced: Held, others: Held, deliveries: Deliveries) -> Changes:
    """Find rows whose state must change: `IDENTITY`, `_new_verdict`, and for a history `_valid_from` and `_valid_to`.

    `of` is the table before the commit, `replaced` the rows of it that the commit removes, `others` those of all other partitions.
    `deliveries` are the complete deliveries that count after the commit, for feeds that have them.
    """
    contract, new = stage.contract, Held([file.as_dict() for file in stage.ok], stage.aside)
    is_complete = any(feed.complete for feed in stage.table.feeds)
    valid_from = VALID_FROM if is_complete else f"`{contract.valid_from}`"
    competing = ["new"]
    _name(look_up, stage, of, "new", new)
    if is_complete:
        # A complete delivery may end any key.
        _name(look_up, stage, of, "other", others)
        competing.append("other")
    elif others.rows:
        _name(look_up, stage, of, "replaced", replaced)
        _find(look_up, stage, of, others, new.count + replaced.count)
        competing.append("found")
    candidates = " UNION ALL ".join(
        f"SELECT {_decides(look_up, contract, verdict)} FROM {rows}_{verdict}"
        for rows in competing
        for verdict in (OK, SUPERSEDED)
    )
    if is_complete:
        candidates = _with_ends(look_up, stage, candidates, new + others, deliveries)
    else:
        candidates = look_up.contested(candidates, identity(contract), _differs(contract, state_alone(contract), valid_from))
    resolved = f"({candidates})"
    for columns in resolve_winners(contract, with_deliveries=is_complete):
        added = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        resolved = f"(SELECT *, {added} FROM {resolved})"
    columns_out = [*IDENTITY, *look_up.places, f"{_verdict(LIVE)} AS {_NEW_VERDICT}"]
    if contract.validity:
        columns_out += [f"{valid_from} AS {VALID_FROM}", VALID_TO]
    differs = _differs(contract, {LIVE: LIVE, VALID_TO: VALID_TO}, valid_from)
    return look_up.changes(f"SELECT {', '.join(columns_out)} FROM {resolved} WHERE {VERDICT} <> '{_END}' AND ({differs})")


def _verdict(live: str) -> str:
    """SQL: the verdict of a candidate that is to be live, or not."""
    return f"CASE WHEN {live} THEN '{OK}' ELSE '{SUPERSEDED}' END"


def _differs(contract: Contract, state: Projection, valid_from: str) -> str:
    """SQL: whether a candidate has another state than `state`, and for a history another start than `valid_from`."""
    differs = f"{_verdict(state[LIVE])} <> {VERDICT}"
    if not contract.validity:
        return differs
    ends = f"{state[VALID_TO]} IS DISTINCT FROM valid_to"
    return f"{differs} OR ({state[LIVE]} AND ({ends} OR {valid_from} IS DISTINCT FROM valid_from))"


def _name(look_up: LookUp, stage: Stage, of: Opened, name: str, held: Held) -> None:
    """Name live rows, and rows set aside for each reason that matters: `<name>_<verdict>`."""
    types = {column: kind for column, kind in staged_columns(stage.contract).items() if column != BROKEN_RULES}
    look_up.live(f"{name}_{OK}", of, held.files, types)
    # A complete delivery does not delete a key that one of its rows has, even if the row is not loaded.
    also = (WAITING, DROPPED) if any(feed.complete for feed in stage.table.feeds) else ()
    for reason in (SUPERSEDED, *also):
        look_up.aside(f"{name}_{reason}", of, held.aside.with_reason(reason), types)


def _find(look_up: LookUp, stage: Stage, of: Opened, others: Held, count: int) -> None:
    """Name `found_<verdict>`: those of the other rows that have a key of a new or removed row, of which there are about `count`.

    Only files are read that may have such a key.
    """
    contract = stage.contract
    key = ", ".join(f"`{name}`" for name in identity(contract))
    # A removed row is no longer a candidate, but rows that it superseded may become live again.
    given = [f"{rows}_{verdict}" for rows in ("new", "replaced") for verdict in (OK, SUPERSEDED)]
    look_up.result("keys", " UNION ".join(f"SELECT {key} FROM {rows}" for rows in given))
    types = {name: kind for name, kind in staged_columns(contract).items() if name in contract.key}
    with look_up.narrowed(others, "keys", types, count) as to_read:
        _name(look_up, stage, of, "other", to_read)
        for verdict in (OK, SUPERSEDED):
            columns = _decides(look_up, contract, verdict)
            look_up.result(f"found_{verdict}", f"SELECT {columns} FROM other_{verdict} SEMI JOIN keys USING ({key})")


def _with_ends(look_up: LookUp, stage: Stage, candidates: str, rows: Held, deliveries: Deliveries) -> str:
    """SQL: the candidates with the dates when deliveries deleted their key, and for a history a tombstone per deletion.

    A key of a feed is present on the dates of its rows, including bad rows. The first delivery after such a date ends the key,
    unless the key is present again by the delivery's date.
    """
    contract = stage.contract
    look_up.given("delivered", _next_deliveries(deliveries, rows.dates))
    key = ", ".join(f"`{name}`" for name in contract.key)
    named = [f"{rows}_{reason}" for rows in ("new", "other") for reason in (OK, SUPERSEDED, WAITING, DROPPED)]
    present = " UNION ".join(f"SELECT {key}, {FEED}, {DATE_COLUMN} FROM {name}" for name in named)
    by_key = f"PARTITION BY {key}, {FEED} ORDER BY {DATE_COLUMN}"
    next_present = f"COALESCE(LEAD({DATE_COLUMN}) OVER ({by_key}), DATE '9999-12-31')"
    look_up.result(
        "presence",
        f"""SELECT {key}, {FEED}, {DATE_COLUMN},
                MIN(_ended) OVER ({by_key} ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS {ENDED_ON},
                MAX(_ended) OVER ({by_key} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS {ENDED_BEFORE},
                _ended
            FROM (SELECT {key}, {FEED}, {DATE_COLUMN}, CASE WHEN _next_delivery < {next_present} THEN _next_delivery END AS _ended
                  FROM ({present}) AS p LEFT JOIN delivered USING ({FEED}, {DATE_COLUMN})) AS e""",
    )
    columns = _columns(look_up, contract)
    with_presence = f"""SELECT {", ".join(columns)}, {ENDED_ON}, {ENDED_BEFORE}
        FROM ({candidates}) AS c LEFT JOIN presence USING ({key}, {FEED}, {DATE_COLUMN})"""
    if contract.mode != "history":
        return with_presence
    moment = contract.validity[0].type
    values: dict[str, str] = {
        **dict.fromkeys(contract.sequence_columns[:1], f"CAST(_ended AS {moment})"),
        FEED: FEED,
        FILE: "''",
        ROW: "0",
        ITEM: "0",
        DATE_COLUMN: "_ended",
        DELETED: "TRUE",
        VERDICT: f"'{_END}'",
    } | {name: f"`{name}`" for name in contract.key}
    end = ", ".join(f"{values.get(name.strip('`'), 'NULL')} AS {name}" for name in [*columns, ENDED_ON, ENDED_BEFORE])
    return f"{with_presence} UNION ALL SELECT {end} FROM presence WHERE _ended IS NOT NULL"


def _next_deliveries(deliveries: Deliveries, dates: Collection[date]) -> "pa.Table":
    """Return the first delivery after each date as `_next_delivery`, by feed and date."""
    import pyarrow as pa

    after = [
        (feed, day, days[place])
        for feed, days in ((feed, sorted(of_feed)) for feed, of_feed in deliveries.items())
        for day in sorted(dates)
        if (place := bisect_right(days, day)) < len(days)
    ]
    feeds, days, ends = zip(*after, strict=True) if after else ((), (), ())
    kinds = (pa.string(), pa.date32(), pa.date32())
    names = [FEED, DATE_COLUMN, "_next_delivery"]  # a contract's column can have no such name
    return pa.table([pa.array(v, k) for v, k in zip((feeds, days, ends), kinds, strict=True)], names=names)


def with_small_files(rewritten: Held, current: Held, dates: Collection[date]) -> Held:
    """Add small files of the given dates to what is rewritten, where a date, or a part of it, has too many: see `pieces_to_merge`."""
    paths, files = {f["path"] for f in rewritten.files}, list(rewritten.files)
    pieces: dict[tuple[date, str], list[dict[str, Any]]] = {}
    for file in current.files:
        if file["date"] in dates and file["path"] not in paths and file["num_records"] < ROWS_PER_FILE:
            pieces.setdefault((file["date"], split_folder(file["path"])), []).append(file)
    for small in pieces.values():
        small.sort(key=lambda f: f["num_records"])
        files += small[: pieces_to_merge([f["num_records"] for f in small], MOST_SMALL_FILES)]
    return Held(files, rewritten.aside)


def merged(
    session: "SparkSession",
    contract: Contract,
    live: "DataFrame",
    superseded: "DataFrame | None",
    changes: Changes,
) -> "DataFrame":
    """Return all rows of the rewritten partitions in their new state, with the same columns as from `decide`.

    `live` has the columns of the table, `superseded` those of the stage; None means no rows.
    """
    columns = [f"`{name}`" for name in table_columns(contract) if name not in IDENTITY]
    current = live.selectExpr(*columns, *IDENTITY, f"FALSE AS {DELETED}", f"'{OK}' AS {VERDICT}")
    if superseded is not None:
        current = current.unionByName(superseded.selectExpr(*columns, *IDENTITY, DELETED, f"'{SUPERSEDED}' AS {VERDICT}"))
    own = {name: f"_changed{name}" for name in IDENTITY}
    changed = changes.in_engine(session).withColumnsRenamed(own)
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


def _columns(look_up: LookUp, contract: Contract) -> list[str]:
    """The columns of candidates: those that decide, `IDENTITY`, `_deleted`, `_verdict`, and a history's validity."""
    validity_columns = ["valid_from", "valid_to"] if contract.validity else []
    own = [name for name in IDENTITY if name not in deciding_columns(contract)]
    return [*(f"`{name}`" for name in deciding_columns(contract)), *own, *look_up.places, DELETED, VERDICT, *validity_columns]


def _decides(look_up: LookUp, contract: Contract, verdict: str) -> str:
    """SQL: the columns of candidates, of rows with a verdict."""
    # Live rows are no tombstones, and compacted tables lack the column.
    computed = {DELETED: "FALSE"} if verdict == OK else {}
    computed[VERDICT] = f"'{verdict}'"
    return ", ".join(f"{computed[name]} AS {name}" if name in computed else name for name in _columns(look_up, contract))
