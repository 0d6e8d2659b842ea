"""Publishes audited rows: a mark in the ledger, quarantine, one commit, row accounts. The next pass heals a kill in between."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.errors import AuditError
from lakehouse_assets.silver.accounts import silver_records
from lakehouse_assets.silver.audit import audited, table_columns
from lakehouse_assets.silver.fingerprints import silver_fingerprints, stale_dates
from lakehouse_assets.silver.merge import Standing, changed_rows, merged
from lakehouse_assets.silver.quarantine import quarantine_dropped
from lakehouse_assets.silver.schema import contract_schema, standing_schema
from lakehouse_assets.silver.stage import Stage, read_staged
from lakehouse_assets.storage.accounts import account_metadata
from lakehouse_assets.storage.duck import connect
from lakehouse_assets.storage.engine_files import data_folder, read_partitions
from lakehouse_assets.storage.handlers import Handler, Source, SparkHandler, Target, Written
from lakehouse_assets.storage.ledger import Ledger, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.superseded import Superseded, delete_superseded, read_superseded, write_superseded
from lakehouse_assets.storage.tables import (
    DATE_COLUMN,
    Commit,
    commit_files,
    ensure_table,
    last_commit,
    live_files,
)

if TYPE_CHECKING:
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
        entity, ledger = rows.entity, Ledger(target.root)
        schema = contract_schema(entity)
        ensure_table(target.uri, schema, target.description)
        table = DeltaTable(target.uri)  # as it stands now: whoever commits after this makes the commit below fail
        superseded = read_superseded(target.root, target.layer, target.name, table)
        both = ledger.read(table_name=entity.table)
        records = {day: record for (layer, _, day), record in both.items() if layer == "silver"}
        raw = {day: record for (layer, _, day), record in both.items() if layer == "raw" and not record.is_begun}
        stale = stale_dates(entity, raw, records)
        due = {day: stale[day] for day in target.dates if day in stale}
        anew = superseded is None or standing_schema(table) != schema
        if due and anew:
            # All is built again: the table's columns are others now, or nobody knows what its rows have superseded.
            due = silver_fingerprints(entity, raw)
        if not due:
            target.log.info("These partitions are up to date.")
            return Written(Commit(table.version(), changed=False))
        hits: dict[date, list[RuleHits]] = {}
        rejected: set[date] = set()
        commit = Commit(table.version(), changed=False)
        while due:
            with (
                data_folder(target.root, target.layer, target.name, target.run_id) as folder,
                connect(target.root) as connection,
            ):
                stage = Stage(folder, entity.contract, connection)
                stage.write(audited(self._raw(target, entity, list(due)), entity), due)
                hits |= stage.rule_hits()
                if stage.rejected_dates:
                    # Rows of a date that is not published must not supersede those of one that is: judged again without it.
                    rejected |= stage.rejected_dates
                    due = {day: mark for day, mark in due.items() if day not in rejected}
                    continue
                ledger.begin("silver", entity.table, due, records, target.run_id)
                quarantine_dropped(Quarantine(target.root), stage, entity, target, list(due))
                now = Standing(live_files(table), superseded) if superseded and not anew else Standing([], Superseded())
                commit = self._commit(stage, target, table, due, now, schema if anew else None)
                updated = silver_records(target, raw, hits, commit, due)
                if last_commit(target.uri)[0] == commit.version:
                    ledger.replace("silver", {entity.table: [r.date for r in updated]}, updated, target.run_id)
                records |= {r.date: r for r in updated}
                break
        written = Written(commit, {"partitions_built": len(due)}, {day: account_metadata(records[day]) for day in due})
        if rejected:
            raise _audit_error(entity, rejected, hits, written)
        return written

    def _commit(
        self,
        stage: Stage,
        target: Target,
        table: DeltaTable,
        due: dict[date, str],
        now: Standing,
        new_schema: "pa.Schema | None",
    ) -> Commit:
        """Make the stage part of the table, and change the state of those rows of other partitions whose keys it concerns."""
        key = _key(stage.contract.table, due)
        version, newest_key = last_commit(target.uri)
        if newest_key == key and new_schema is None:
            # The commit was made by a step that was killed before it could write the ledger, or by one that runs beside this one.
            return Commit(version, changed=False)
        others = now.without(due)
        touched: set[date] = set()
        if stage.contract.mode != "snapshot" and (others.files or others.superseded.batches):
            changes = changed_rows(stage, now.of(due), others)
            rewritten = set(changes.column(DATE_COLUMN).to_pylist())
            touched = rewritten - due.keys()
            if rewritten:
                with _told_as_conflict(target.uri, version):
                    self._rewrite(stage, target, table, others.of(touched), changes, rewritten)
        gone = due.keys() | touched
        superseded = now.superseded.without(gone) + stage.superseded
        transaction = write_superseded(target.root, target.layer, target.name, superseded)
        # From here on the files may be the table's, even if this process never hears of it: better an orphan than a hole.
        stage.folder.named = {*(f.path for f in stage.ok), *stage.superseded.files}
        try:
            return commit_files(
                table, stage.ok, now.of(gone).files, key=key, run_id=target.run_id, transaction=transaction, new_schema=new_schema
            )
        except CommitFailedError:
            stage.folder.named = set()
            delete_superseded(target.root, target.layer, target.name, transaction)
            raise

    def _rewrite(
        self, stage: Stage, target: Target, table: DeltaTable, touched: Standing, changes: "pa.Table", dates: set[date]
    ) -> None:
        """Let the engine write the partitions anew in which a row changes its state."""
        session, contract = self._session(), stage.contract
        columns = table_columns(contract)
        standing = read_partitions(session, target.uri, table, sorted({f["date"] for f in touched.files})).select(*columns)
        if staged := [f.path for f in stage.ok if f.date in dates]:
            standing = standing.unionByName(read_staged(session, target.uri, staged, contract, "TRUE").select(*columns))
        left = touched.superseded + stage.superseded.of(dates)
        superseded = read_staged(session, target.uri, left.files, contract, left.predicate()) if left.batches else None
        stage.rewrite(merged(session, stage.folder, contract, standing, superseded, changes), dates)

    def _raw(self, target: Target, entity: Entity, dates: Sequence[date]) -> "DataFrame":
        return self._spark.read(Source(target.root, "raw", entity.table, dates, None))


@contextmanager
def _told_as_conflict(uri: str, version: int) -> Iterator[None]:
    """An engine that fails while somebody else commits has read what is about to go: then it is to be computed again.

    Raises:
        CommitFailedError: the table has moved on since `version`, and the engine failed.
    """
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        if last_commit(uri)[0] == version:
            raise
        raise CommitFailedError(str(error)) from error


def _key(table: str, due: dict[date, str]) -> str:
    facts = [table, sorted((d.isoformat(), mark) for d, mark in due.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _audit_error(entity: Entity, dates: set[date], hits: dict[date, list[RuleHits]], written: Written) -> AuditError:
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
        "Mend the source file or the rule, then run these partitions again.",
        refused=dates,
        written=written,
    )
