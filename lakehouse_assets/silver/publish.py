"""Publishes audited rows: a mark in the ledger, quarantine, one commit, row accounts. The next pass heals a kill in between."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.errors import AuditError
from lakehouse_assets.silver.accounts import SilverAccount
from lakehouse_assets.silver.audit import OK, VERDICT, audited, table_columns, winners
from lakehouse_assets.silver.fingerprints import silver_fingerprint, stale_dates
from lakehouse_assets.silver.merge import some_key_retreats, touched_dates
from lakehouse_assets.silver.quarantine import quarantine_dropped
from lakehouse_assets.silver.schema import contract_schema, standing_schema
from lakehouse_assets.silver.stage import Stage
from lakehouse_assets.storage.duck import connect
from lakehouse_assets.storage.engine_files import data_folder
from lakehouse_assets.storage.handlers import Handler, Source, SparkHandler, Target, Written
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.tables import (
    Commit,
    commit_files,
    ensure_table,
    last_commit,
    live_files,
    open_table,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class RowsToAudit:
    """What a silver asset returns: the raw rows of an entity, to go through its function and its contract.

    Which of them is decided when they are written, by the ledger: those of stale partitions. They are read after the ledger, so that
    a partition never counts as built from newer rows than it was.
    """

    entity: Entity


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
        entity, ledger, quarantine = rows.entity, Ledger(target.root), Quarantine(target.root)
        schema = contract_schema(entity)
        ensure_table(target.uri, schema, target.description)
        table = DeltaTable(target.uri)  # as it stands now: whoever commits after this makes the commit below fail
        both = ledger.read(table_name=entity.table)
        records = {day: record for (layer, _, day), record in both.items() if layer == "silver"}
        raw = {day: record for (layer, _, day), record in both.items() if layer == "raw" and not record.is_begun}
        stale = stale_dates(entity, raw, records)
        due = {day: stale[day] for day in target.dates if day in stale}
        reshaped = standing_schema(table) != schema
        if due and (reshaped or _was_interrupted(target.uri, table.version(), records, _key(entity, due))):
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
                connect(target.root) as connection,
            ):
                stage = Stage(folder, entity.contract)
                stage.write(audited(self._raw(target, entity, list(due)), entity), connection)
                hits |= stage.rule_hits(connection)
                if stage.rejected_dates:
                    # Rows of a date that is not published must not supersede those of one that is: judged again without it.
                    rejected |= stage.rejected_dates
                    due = {day: mark for day, mark in due.items() if day not in rejected}
                    continue
                ledger.begin("silver", entity.table, due, records, target.run_id)
                quarantine_dropped(quarantine, stage, entity, target, connection, list(due))
                before, commit = self._commit(stage, target, entity, table, connection, due, sound, schema if reshaped else None)
                updated = SilverAccount(target, entity, raw, records, hits, connection, quarantine).records(before, commit, due)
                if last_commit(target.uri)[0] == commit.version:
                    ledger.replace("silver", {entity.table: [r.date for r in updated]}, updated, target.run_id)
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
        version, newest_key = last_commit(target.uri)
        if newest_key == key:
            # The commit was made by a step that was killed before it could write the ledger, or by one that runs beside this one.
            before = open_table(target.uri, version=version - 1)
            assert before is not None, "a keyed commit is never the first version"
            return before, Commit(version, changed=False)
        standing = live_files(table)
        removed = [f for f in standing if f["date"] in due]
        added = stage.ok
        if entity.contract.mode == "upsert" and new_schema is None:
            touched = touched_dates(target.uri, entity.contract, connection, [f for f in standing if f["date"] not in due])
            retreats = some_key_retreats(target.uri, entity.contract, connection, removed)
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
            older = audited(self._raw(target, entity, sound), entity).where(f"{VERDICT} = '{OK}'")
            candidates = candidates.unionByName(older.join(left, list(entity.contract.key), "left_semi").select(*columns))
        return candidates

    def _raw(self, target: Target, entity: Entity, dates: Sequence[date]) -> "DataFrame":
        return self._spark.read(Source(target.root, "raw", entity.table, dates, None))


def _key(entity: Entity, due: dict[date, str]) -> str:
    facts = [entity.table, sorted((d.isoformat(), mark) for d, mark in due.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _was_interrupted(uri: str, version: int, records: dict[date, PartitionRecord], key: str) -> bool:
    """Whether a step was killed after a commit that the ledger does not know, and that is not the one about to be repeated."""
    known = max((r.delta_version for r in records.values()), default=0)
    if not any(r.is_begun for r in records.values()) or version <= known:
        return False
    return last_commit(uri)[1] != key


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
