"""Publishes audited rows: quarantine, one commit, row accounts. Where a step is killed in between, the next pass heals it."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.errors import AuditError
from lakehouse_assets.silver.accounts import published_records, touched_records
from lakehouse_assets.silver.audit import audited, table_columns
from lakehouse_assets.silver.fingerprints import silver_fingerprints, stale_dates, with_empty_dates
from lakehouse_assets.silver.merge import Standing, changed_rows, merged
from lakehouse_assets.silver.quarantine import quarantine_dropped
from lakehouse_assets.silver.schema import added_columns, contract_schema, is_reshaped
from lakehouse_assets.silver.stage import Stage, read_staged, read_superseded_rows
from lakehouse_assets.storage.accounts import account_metadata
from lakehouse_assets.storage.books import record_partitions, verified
from lakehouse_assets.storage.duck import connect
from lakehouse_assets.storage.engine_files import data_folder, read_partitions
from lakehouse_assets.storage.handlers import Handler, Source, Target, Written, missing_table
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.superseded import Superseded, delete_superseded, read_superseded, write_superseded
from lakehouse_assets.storage.tables import (
    DATE_COLUMN,
    Commit,
    add_columns,
    commit_files,
    ensure_table,
    last_commit,
    live_files,
    open_table,
    table_facts,
    until_committed,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


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

    def write(self, rows: RowsToAudit, target: Target) -> Written:
        """Bring the stale partitions among the target's up to date, in one commit; nothing where none is stale.

        Raises:
            AuditError: partitions with a row that broke a `fail` rule; the others were published.
        """
        # Where somebody else commits to the table in between, what was merged may be wrong.
        return until_committed(lambda: self._write_once(rows, target), attempts=5, first_pause=0.2)

    def read(self, source: Source) -> RowsToAudit:
        """Refused: silver tables are read as rows."""
        raise TypeError(f"{source.layer}/{source.name}: take its rows as a DataFrame or an Arrow table, not as RowsToAudit.")

    def _write_once(self, rows: RowsToAudit, target: Target) -> Written:
        entity = rows.entity
        schema = contract_schema(entity)
        ensure_table(target.uri, schema, target.description)
        both = Ledger(target.root).read(table_name=entity.table)
        # As they stand now: raw is read at this version, and whoever commits to silver after this makes the commit below fail.
        raw_table, table = open_table(target.root.table("raw", entity.table)), DeltaTable(target.uri)
        if raw_table is None:
            raise missing_table(Source(target.root, "raw", entity.table, None, None))
        superseded = read_superseded(target.root, target.layer, target.name, table)
        raw, records = (
            verified(target.root, layer, entity.table, opened, {key[2]: r for key, r in both.items() if key[0] == layer})
            for layer, opened in (("raw", raw_table), ("silver", table))
        )
        stale = stale_dates(entity, raw, records)
        raw = {day: record for day, record in with_empty_dates(entity, raw, records).items() if not record.is_unsettled}
        due = {day: stale[day] for day in target.dates if day in stale and day in raw}
        if due and superseded is not None and (new := added_columns(table, schema)):
            # The rows that stand have no values in them; dates that can't be built under the new contract keep their rows.
            add_columns(table, target.uri, new, run_id=target.run_id)
            table = DeltaTable(target.uri)
        anew = superseded is None or is_reshaped(table, schema)
        if due and anew:
            # All is built again: the table's columns have other types now, or nobody knows what its rows have superseded.
            due = silver_fingerprints(entity, raw)
        if not due:
            target.log.info("These partitions are up to date.")
            return Written(Commit(table.version(), changed=False))
        hits: dict[date, list[RuleHits]] = {}
        rejected: set[date] = set()
        written = Written(Commit(table.version(), changed=False))
        while due:
            with (
                data_folder(target.root, target.layer, target.name, target.run_id) as folder,
                connect(target.root) as connection,
            ):
                stage = Stage(folder, entity.contract, connection)
                read = read_partitions(self._session(), target.root.table("raw", entity.table), raw_table, list(due))
                stage.write(audited(read, entity), due)
                hits |= stage.rule_hits()
                if stage.rejected_dates:
                    # Rows of a date that is not published must not supersede those of one that is: judged again without it.
                    rejected |= stage.rejected_dates
                    if anew and rejected & table_facts(table).rows_by_date.keys():
                        # Its rows that stand can't stay in a table of other columns, so no date can change to them yet.
                        raise _audit_error(entity, rejected, hits, None, refused=set(due) | rejected)
                    due = {day: mark for day, mark in due.items() if day not in rejected}
                    continue
                batches = quarantine_dropped(Quarantine(target.root), stage, entity, target, raw_table)
                now = Standing(live_files(table), superseded) if superseded and not anew else Standing([], Superseded())
                commit = self._commit(stage, target, table, due, now, schema if anew else None)
                mine = _record(target, raw, hits, batches, table, commit, due)
                by_date = {r.date: account_metadata(r) for r in mine}
                written = Written(commit, {"partitions_built": len(due)}, by_date)
                break
        if rejected:
            raise _audit_error(entity, rejected, hits, written, refused=rejected)
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
        others = now.without(due)
        touched: set[date] = set()
        if stage.contract.mode != "snapshot" and (others.files or others.superseded.batches):
            changes = changed_rows(stage, now.of(due), others)
            rewritten = set(changes.column(DATE_COLUMN).to_pylist())
            touched = rewritten - due.keys()
            if rewritten:
                with _told_as_conflict(target.uri, table.version()):
                    self._rewrite(stage, target, table, others.of(touched), changes, rewritten)
        gone = due.keys() | touched
        superseded = stage.in_few_batches(now.superseded.without(gone) + stage.superseded)
        transaction = write_superseded(target.root, target.layer, target.name, superseded)
        # From here on the files may be the table's, even if this process never hears of it: better an orphan than a hole.
        stage.folder.named = {*(f.path for f in stage.ok), *superseded.files}
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
            standing = standing.unionByName(read_staged(session, target.uri, staged, contract).select(*columns))
        left = touched.superseded + stage.superseded.of(dates)
        superseded = read_superseded_rows(session, stage.folder, target.uri, left, contract) if left.batches else None
        stage.rewrite(merged(session, stage.folder, contract, standing, superseded, changes), dates)


def _record(
    target: Target,
    raw: Mapping[date, PartitionRecord],
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, str],
    before: DeltaTable,
    commit: Commit,
    due: Mapping[date, str],
) -> list[PartitionRecord]:
    """Record how the published partitions stand, and those whose rows the commit has changed; the records of the published ones."""
    committed = open_table(target.uri, version=commit.version)
    assert committed is not None, "the commit made this version"
    mine = published_records(target, raw, hits, batches, committed, due)
    record_partitions(
        target.root,
        target.layer,
        {target.name: committed},
        lambda known: [*mine, *touched_records(target, before, committed, due, {key[2]: r for key, r in known.items()})],
        target.run_id,
    )
    return mine


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


def _audit_error(
    entity: Entity,
    dates: Collection[date],
    hits: Mapping[date, list[RuleHits]],
    written: Written | None,
    *,
    refused: Collection[date],
) -> AuditError:
    fail_rules = {r.name: r for r in entity.contract.all_rules if r.outcome == "fail"}
    told = [
        f"{day}: {hit.rows} row{'s' if hit.rows > 1 else ''} broke {hit.rule} ({fail_rules[hit.rule].description} "
        f"Keys: {'; '.join(hit.examples)})"
        for day in sorted(dates)
        for hit in hits.get(day, [])
        if hit.rule in fail_rules
    ]
    nothing = f"nothing was published of {', '.join(str(d) for d in sorted(dates))}"
    if written is None:
        nothing = (
            "nothing was published, because the columns of the table change their types, and some dates can't be built with them"
        )
    return AuditError(
        f"silver/{entity.table}: {nothing}. {' '.join(told)} Fix the source file or the rule, then run these partitions again.",
        refused=refused,
        written=written,
    )
