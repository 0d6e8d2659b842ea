"""Publishes audited rows: a mark in the ledger, quarantine, one commit, row accounts. The next pass heals a kill in between."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.errors import AuditError
from lakehouse_assets.silver.audit import OK, SUPERSEDED, VERDICT, audited, identity, table_columns, winners
from lakehouse_assets.silver.stage import Stage
from lakehouse_assets.storage.duck import connect, files_view
from lakehouse_assets.storage.engine_files import data_folder
from lakehouse_assets.storage.handlers import Handler, Source, SparkHandler, Target, Written
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import quarantine_schema, quarantined_by_date, replace_quarantine
from lakehouse_assets.storage.tables import (
    Commit,
    commit_files,
    dates_predicate,
    ensure_table,
    last_key,
    live_files,
    open_table,
    sql_date,
    table_facts,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class RowsToAudit:
    """What a silver asset returns: the lazy frame of its raw rows, and the entity whose function and contract they are to go through.

    Which partitions of it are computed is known only when it is written: those that are stale.
    """

    raw: "DataFrame"
    entity: Entity


def silver_fingerprint(raw: PartitionRecord, entity: Entity) -> str:
    """What a silver partition was built from: its raw partition's fingerprint and the code."""
    return hashlib.sha256(f"{raw.fingerprint}/{entity.silver_digest()}".encode()).hexdigest()[:16]


def stale_dates(entity: Entity, raw: dict[date, PartitionRecord], silver: dict[date, PartitionRecord]) -> dict[date, str]:
    """The partitions that were built from something else than what raw and the code are now, with the fingerprints due."""
    due = {day: silver_fingerprint(record, entity) for day, record in sorted(raw.items())}
    return {day: mark for day, mark in due.items() if day not in silver or silver[day].fingerprint != mark}


class RowsToAuditHandler(Handler[RowsToAudit]):
    """Audits what a silver asset returns, and writes it by its contract's mode."""

    type_name = f"{RowsToAudit.__module__}.{RowsToAudit.__qualname__}"

    def __init__(self, session: "Callable[[], SparkSession]") -> None:
        self._session = session
        self._spark = SparkHandler(session)

    def write(self, rows: RowsToAudit, target: Target) -> Written:
        """Bring the stale partitions among the target's up to date, in one commit; nothing where none is stale.

        Raises:
            AuditError: partitions with a row that broke a `fail` rule; the others were published.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._write_once(rows, target)
            except CommitFailedError:
                # Somebody else committed to the table in between: what was merged may be wrong now.
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the loop returns or raises")

    def read(self, source: Source) -> RowsToAudit:
        """Refused: silver tables are read as rows."""
        raise TypeError(f"{source.layer}/{source.name}: take its rows as a DataFrame or an Arrow table, not as RowsToAudit.")

    def _write_once(self, rows: RowsToAudit, target: Target) -> Written:
        entity, ledger = rows.entity, Ledger(target.root)
        schema = arrow_schema(entity)
        table = ensure_table(target.uri, schema, target.description)
        records = {key[2]: record for key, record in ledger.read("silver", entity.table).items()}
        raw = {key[2]: record for key, record in ledger.read("raw", entity.table).items() if not record.is_begun}
        stale = stale_dates(entity, raw, records)
        due = {day: stale[day] for day in target.dates if day in stale}
        reshaped = pa_schema(table) != schema
        if due and (reshaped or _was_interrupted(table, records, _key(entity, due))):
            # All is built again: the table's columns are others now; or a step was killed between its commit and the ledger, and
            # what is due has changed since, so that nobody knows any more which rows that commit has superseded.
            due = {day: silver_fingerprint(record, entity) for day, record in raw.items()}
        if not due:
            target.log.info("These partitions are up to date.")
            return Written(Commit(table.version(), changed=False))
        sound = sorted(records.keys() - stale.keys() - due.keys())
        hits: dict[date, list[RuleHits]] = {}
        rejected: set[date] = set()
        commit = Commit(table.version(), changed=False)
        while due:
            with (
                data_folder(target.root, target.layer, target.name, target.run_id) as folder,
                connect() as connection,
            ):
                stage = Stage(folder, entity.contract)
                stage.write(audited(self._raw(rows, target, list(due)), entity), connection)
                hits |= stage.rule_hits(connection)
                if stage.rejected_dates:
                    # Rows of a date that is not published must not supersede those of one that is: judged again without it.
                    rejected |= stage.rejected_dates
                    due = {day: mark for day, mark in due.items() if day not in rejected}
                    continue
                ledger.begin("silver", entity.table, due, records, target.run_id)
                _quarantine(stage, entity, target, connection, list(due))
                before, commit = self._commit(stage, target, entity, table, connection, due, sound, schema if reshaped else None)
                updated = _Account(target, entity, raw, records, hits, connection).records(before, commit, due)
                if DeltaTable(target.uri).version() == commit.version:
                    ledger.replace("silver", entity.table, [r.date for r in updated], updated, target.run_id)
                records |= {r.date: r for r in updated}
                break
        if rejected:
            raise _audit_error(entity, rejected, hits)
        return Written(commit, {"partitions_built": len(due)}, {day: _metadata(records[day]) for day in due})

    def _commit(
        self,
        stage: Stage,
        target: Target,
        entity: Entity,
        table: DeltaTable,
        connection: "duckdb.DuckDBPyConnection",
        due: dict[date, str],
        sound: Sequence[date],
        new_schema: "pa.Schema | None",
    ) -> tuple[DeltaTable, Commit]:
        """Make the stage part of the table. Returns the table as it was before, too, for the accounts."""
        key = _key(entity, due)
        if last_key(table) == key:
            # The commit was made by a step that was killed before it could write the ledger.
            before = open_table(target.uri, version=table.version() - 1)
            assert before is not None, "a keyed commit is never the first version"
            return before, Commit(table.version(), changed=False)
        standing = live_files(table)
        removed = [f for f in standing if f["date"] in due]
        added = stage.ok
        if entity.contract.mode == "upsert" and new_schema is None:
            touched = _touched_dates(target, entity, connection, [f for f in standing if f["date"] not in due])
            retreats = _some_key_retreats(target, entity, connection, removed)
            if touched or retreats:
                candidates = self._candidates(stage, target, entity, list(due), touched, sound if retreats else [])
                added = stage.folder.write(winners(candidates, entity.contract), "merged")
                removed += [f for f in standing if f["date"] in touched]
        # From here on the files may be the table's, even if this process never hears of it: better an orphan than a hole.
        stage.folder.named = {f.path for f in added}
        try:
            commit = commit_files(table, added, removed, key=key, run_id=target.run_id, new_schema=new_schema)
        except CommitFailedError:
            stage.folder.named = set()
            raise
        return table, commit

    def _candidates(
        self, stage: Stage, target: Target, entity: Entity, due: Sequence[date], touched: Sequence[date], sound: Sequence[date]
    ) -> "DataFrame":
        """All rows that may stand after the commit in the partitions that it writes; several may share a key.

        These are the staged rows; the rows of `touched` partitions, which hold keys of staged rows; and, where a key may fall back
        to an older version because a file lost its row, all versions that other partitions (`sound`) have of such keys.
        """
        columns = table_columns(entity.contract)
        # The rows of no partition at all, where none is touched.
        candidates = self._spark.read(Source(target.root, "silver", entity.table, touched, columns))
        staged = stage.read_ok(self._session())
        if staged is not None:
            candidates = candidates.unionByName(staged.select(*columns))
        if sound:
            left = self._spark.read(Source(target.root, "silver", entity.table, due, entity.contract.key))
            raw = self._spark.read(Source(target.root, "raw", entity.table, sound, None))
            older = audited(raw, entity).where(f"{VERDICT} = '{OK}'")
            candidates = candidates.unionByName(older.join(left, list(entity.contract.key), "left_semi").select(*columns))
        return candidates

    def _raw(self, rows: RowsToAudit, target: Target, dates: Sequence[date]) -> "DataFrame":
        """The raw rows of the given dates: from what the asset was given, or read anew where that does not hold them all."""
        if set(dates) <= set(target.dates):
            return rows.raw.where(dates_predicate(dates))
        return self._spark.read(Source(target.root, "raw", rows.entity.table, dates, None))


class _Account:
    """Counts how the rows of each partition stand after a commit. Each figure is counted on its own, none by subtraction."""

    def __init__(
        self,
        target: Target,
        entity: Entity,
        raw: dict[date, PartitionRecord],
        records: dict[date, PartitionRecord],
        hits: dict[date, list[RuleHits]],
        connection: "duckdb.DuckDBPyConnection",
    ) -> None:
        self._target = target
        self._entity = entity
        self._raw = raw
        self._old = records
        self._hits = hits
        self._connection = connection

    def records(self, before: DeltaTable, commit: Commit, published: dict[date, str]) -> list[PartitionRecord]:
        """The ledger's new records: of the published partitions, and of those whose rows they superseded or gave back."""
        after = open_table(self._target.uri, version=commit.version)
        assert after is not None, "the commit made the table"
        old_files, new_files = live_files(before), live_files(after)
        old_paths, new_paths = {f["path"] for f in old_files}, {f["path"] for f in new_files}
        columns = {c.name: c.type for c in self._entity.contract.columns if c.name in self._entity.contract.key}
        columns |= {"_source_file": "string", "_row_number": "bigint"}
        files_view(self._connection, "removed", self._target.uri, [f for f in old_files if f["path"] not in new_paths], columns)
        files_view(self._connection, "added", self._target.uri, [f for f in new_files if f["path"] not in old_paths], columns)
        standing = table_facts(after).rows_by_date
        quarantined = quarantined_by_date(self._target.root, "silver", self._entity.table)
        superseded = self._superseded()
        changes = self._changes(published)
        mine = [
            PartitionRecord(
                layer="silver",
                table_name=self._entity.table,
                date=day,
                rows_in=self._raw[day].rows_out,
                rows_out=standing.get(day, 0),
                rows_quarantined=quarantined.get(day, 0),
                rows_superseded=superseded.get(day, 0),
                delta_version=commit.version,
                run_id=self._target.run_id,
                fingerprint=mark,
                rules=self._hits.get(day, []),
            )
            for day, mark in sorted(published.items())
        ]
        others = [
            replace(
                self._old[day],
                rows_out=standing.get(day, 0),
                rows_superseded=self._old[day].rows_superseded + change,
                delta_version=commit.version,
                run_id=self._target.run_id,
            )
            for day, change in sorted(changes.items())
            if day in self._old
        ]
        return [*mine, *others]

    def _superseded(self) -> dict[date, int]:
        """Of the staged rows: how many don't stand because another row of their key does, by date."""
        same_key = " AND ".join(f'a."{k}" = s."{k}"' for k in identity(self._entity.contract))
        counted = self._connection.execute(
            f"""SELECT s._date, count(*) FROM staged AS s JOIN added AS a ON {same_key}
                WHERE s.{VERDICT} IN ('{OK}', '{SUPERSEDED}') AND NOT ({_same_row("a", "s")}) GROUP BY s._date"""
        )
        return dict(counted.fetchall())

    def _changes(self, published: dict[date, str]) -> dict[date, int]:
        """Of all other partitions: rows that were superseded by this commit, less those that came back, by date."""
        others = f"_date NOT IN ({', '.join(sql_date(d) for d in published)})"
        counted = self._connection.execute(
            f"""SELECT _date, sum(change)::BIGINT FROM (
                    SELECT _date, 1 AS change FROM removed AS r WHERE {others}
                        AND NOT EXISTS (FROM added AS a WHERE {_same_row("a", "r")})
                    UNION ALL
                    SELECT _date, -1 FROM added AS a WHERE {others}
                        AND NOT EXISTS (FROM removed AS r WHERE {_same_row("a", "r")})
                ) GROUP BY _date"""
        )
        return dict(counted.fetchall())


def arrow_schema(entity: Entity) -> "pa.Schema":
    """The columns of a silver table, for a table that is made before its first row."""
    import pyarrow as pa

    types = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_()}
    types |= {"date": pa.date32(), "timestamp": pa.timestamp("us", "UTC")}

    def arrow_type(text: str) -> "pa.DataType":
        if text.startswith("decimal("):
            precision, scale = text.removeprefix("decimal(").rstrip(")").split(",")
            return pa.decimal128(int(precision), int(scale))
        return types[text]

    contract = [pa.field(c.name, arrow_type(c.type)) for c in entity.contract.columns]
    own = [("_source_file", pa.string()), ("_row_number", pa.int64()), ("_date", pa.date32()), ("_broken_rules", pa.string())]
    return pa.schema([*contract, *(pa.field(name, kind) for name, kind in own)])


def _key(entity: Entity, due: dict[date, str]) -> str:
    facts = [entity.table, sorted((d.isoformat(), mark) for d, mark in due.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def pa_schema(table: DeltaTable) -> "pa.Schema":
    """A table's columns as Arrow has them."""
    import pyarrow as pa

    found = pa.schema(table.schema().to_arrow())
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    return pa.schema([pa.field(f.name, plain.get(f.type, f.type)) for f in found])


def _was_interrupted(table: DeltaTable, records: dict[date, PartitionRecord], key: str) -> bool:
    """Whether a step was killed after a commit that the ledger does not know, and that is not the one about to be repeated."""
    known = max((r.delta_version for r in records.values()), default=0)
    begun = any(r.is_begun for r in records.values())
    return begun and table.version() > known and last_key(table) != key


def _same_row(left: str, right: str) -> str:
    return " AND ".join(f"{left}.{c} = {right}.{c}" for c in ("_date", "_source_file", "_row_number"))


def _touched_dates(
    target: Target, entity: Entity, connection: "duckdb.DuckDBPyConnection", standing: list[dict[str, Any]]
) -> list[date]:
    """The other partitions of the table that hold a key of a staged row."""
    if not standing:
        return []
    key_columns = {c.name: c.type for c in entity.contract.columns if c.name in entity.contract.key}
    files_view(connection, "standing", target.uri, standing, key_columns)
    keys = ", ".join(f'"{k}"' for k in entity.contract.key)
    found = connection.execute(f"SELECT DISTINCT _date FROM standing SEMI JOIN staged_ok USING ({keys}) ORDER BY _date")
    return [row[0] for row in found.fetchall()]


def _some_key_retreats(
    target: Target, entity: Entity, connection: "duckdb.DuckDBPyConnection", removed: list[dict[str, Any]]
) -> bool:
    """Whether a key that stands by these partitions now has a lower row there, or none: an older one may come back."""
    if not removed:
        return False
    contract = entity.contract
    columns = {c.name: c.type for c in contract.columns if c.name in {*contract.key, contract.sequence}}
    columns |= {"_source_file": "string", "_row_number": "bigint"}
    files_view(connection, "void", target.uri, removed, columns)
    same_key = " AND ".join(f's."{k}" = v."{k}"' for k in contract.key)
    # A NULL sequence is below any other; in a comparison of rows it must not make the whole NULL.
    order = f'{{t}}."{contract.sequence}" IS NOT NULL, {{t}}."{contract.sequence}", ' if contract.sequence else ""
    as_row = f"ROW({order}{{t}}._date, {{t}}._source_file, {{t}}._row_number)"
    found = connection.execute(
        f"""SELECT count(*) FROM void AS v WHERE NOT EXISTS (
                FROM staged_ok AS s WHERE {same_key} AND {as_row.format(t="s")} >= {as_row.format(t="v")})"""
    ).fetchone()
    return bool(found and found[0])


def _quarantine(
    stage: Stage, entity: Entity, target: Target, connection: "duckdb.DuckDBPyConnection", dates: Sequence[date]
) -> None:
    """Put the dropped rows into quarantine with what the source said, as JSON."""
    import pyarrow as pa

    dropped = [row for row in stage.dropped(connection).to_pylist() if row["_date"] in dates]
    payloads = _payloads(entity, target, connection, dropped)
    rules = {r.name: r for r in entity.contract.all_rules}
    rows = []
    for row in dropped:
        broken = [name for name in row["_broken_rules"].split(",") if rules[name].outcome == "drop"]
        rows.append(
            {
                "layer": "silver",
                "table_name": entity.table,
                "date": row["_date"],
                "source_file": row["_source_file"],
                "row_number": row["_row_number"],
                "rule": broken[0],
                "reason": " ".join(f"Broken: {rules[name].description}" for name in broken),
                "payload": payloads[(row["_date"], row["_source_file"], row["_row_number"])],
                "run_id": target.run_id,
            }
        )
    table = pa.Table.from_pylist(rows, schema=quarantine_schema())
    replace_quarantine(target.root, "silver", entity.table, table, dates=dates, run_id=target.run_id)


def _payloads(
    entity: Entity, target: Target, connection: "duckdb.DuckDBPyConnection", dropped: list[dict[str, Any]]
) -> dict[tuple[date, str, int], str]:
    """What the source said of the dropped rows: their raw columns as JSON, by date, file and row number."""
    if not dropped:
        return {}
    raw = open_table(target.root.table("raw", entity.table))
    assert raw is not None, "the rows came from there"
    own = ("_source_file", "_source_etag", "_row_number", "_date")
    source = [f.name for f in raw.schema().fields if f.name not in own]
    days = {row["_date"] for row in dropped}
    columns = dict.fromkeys(source, "string") | {"_source_file": "string", "_row_number": "bigint"}
    files_view(
        connection, "raw_rows", target.root.table("raw", entity.table), [f for f in live_files(raw) if f["date"] in days], columns
    )
    as_json = ", ".join(f"'{name}', \"{name}\"" for name in source)
    found = connection.execute(
        f"SELECT _date, _source_file, _row_number, json_object({as_json}) FROM raw_rows "
        "SEMI JOIN staged_dropped USING (_date, _source_file, _row_number)"
    )
    return {(day, file, number): str(payload) for day, file, number, payload in found.fetchall()}


def _audit_error(entity: Entity, dates: set[date], hits: dict[date, list[RuleHits]]) -> AuditError:
    fail_rules = {r.name: r for r in entity.contract.all_rules if r.outcome == "fail"}
    told = [
        f"{day}: {hit.rows} row{'s' if hit.rows > 1 else ''} broke {hit.rule} ({fail_rules[hit.rule].description} "
        f"Keys: {'; '.join(hit.examples)})"
        for day in sorted(dates)
        for hit in hits.get(day, [])
        if hit.rule in fail_rules
    ]
    return AuditError(
        f"silver/{entity.table}: nothing was published of {', '.join(str(d) for d in sorted(dates))}. {' '.join(told)} "
        "Mend the source file or the rule, then run these partitions again."
    )


def _metadata(record: PartitionRecord) -> dict[str, Any]:
    return {
        "rows_in": record.rows_in,
        "rows_out": record.rows_out,
        "rows_quarantined": record.rows_quarantined,
        "rows_superseded": record.rows_superseded,
        **{f"rule/{hit.rule}": hit.rows for hit in record.rules},
    }
