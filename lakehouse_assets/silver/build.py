"""Builds partitions of a silver table: the way of its rows from raw to the commit, in the order in which it happens.

    read        the raw partitions that are due, of each input
    transform   the input's function, then the contract's types
    judge       all rules, and whether a partner is there
    decide      which rows of a key stand
    stage       one job of the engine writes all rows by verdict
    quarantine  what can't come in, with its reason and its original text
    reconcile   what the new rows change in other partitions
    commit      all of it at once, or nothing
    account     how each partition stands now, for the ledger

Where a step is killed in between, the next pass heals it.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.books.accepted import AcceptedDeliveries
from lakehouse_assets.books.accounts import account_metadata
from lakehouse_assets.books.ledger import Ledger, PartitionRecord, RuleHits
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.records import record_partitions, verified
from lakehouse_assets.books.refused import RefusedPartitions
from lakehouse_assets.books.set_aside import (
    DROPPED,
    SUPERSEDED,
    WAITING,
    Deliveries,
    SetAside,
    delete_set_aside,
    read_set_aside,
    write_set_aside,
)
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.data_files import data_folder, read_partitions
from lakehouse_assets.delta.duck import connect
from lakehouse_assets.delta.handlers import Source, Target, Written, missing_table
from lakehouse_assets.delta.tables import (
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
from lakehouse_assets.errors import AuditError, ContractError
from lakehouse_assets.silver.accounts import published_records, rows_in, touched_records
from lakehouse_assets.silver.deliveries import Accepted, deliveries
from lakehouse_assets.silver.fingerprints import RawRecords, change, differing, silver_fingerprints, with_empty_dates
from lakehouse_assets.silver.judge import Partners, decide, judge, table_columns
from lakehouse_assets.silver.merge import Held, changed_rows, merged
from lakehouse_assets.silver.quarantine import quarantine_rows
from lakehouse_assets.silver.schema import added_columns, contract_schema, is_reshaped
from lakehouse_assets.silver.stage import Stage, read_aside_rows, read_staged
from lakehouse_assets.silver.transform import transform
from lakehouse_assets.silver.waiting import OpenedPartners, changed_partners, open_partners, partner_versions

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

Session = Callable[[], "SparkSession"]


@dataclass(frozen=True)
class Before:
    """What a step finds: the tables that it reads and writes, at the versions that it goes by, and their records.

    `aside` is None where nobody knows which rows are set aside: then the whole table is built again.
    """

    table: SilverTable
    silver: DeltaTable
    aside: SetAside | None
    records: Mapping[date, PartitionRecord]
    raw: Mapping[str, DeltaTable]
    raw_records: RawRecords
    partners: OpenedPartners
    accepted: Accepted

    @cached_property
    def full_rebuild(self) -> bool:
        """Whether none of the live rows can stay: their columns have other types now, or nobody knows what they superseded."""
        return self.aside is None or is_reshaped(self.silver, contract_schema(self.table.contract))

    @cached_property
    def held(self) -> Held:
        """The rows that can stay."""
        return Held([], SetAside()) if self.aside is None or self.full_rebuild else Held(live_files(self.silver), self.aside)


def build_partitions(table: SilverTable, session: Session, target: Target) -> Written:
    """Bring the stale partitions among the target's up to date, in one commit; nothing where none is stale.

    Raises:
        AuditError: partitions with a row that broke a `fail` rule; the others were published.
    """
    # Where somebody else commits to the table in between, what was reconciled may be wrong.
    return until_committed(lambda: _build_once(table, session, target), attempts=5, first_pause=0.2)


def _build_once(table: SilverTable, session: Session, target: Target) -> Written:
    before = _look(table, target)
    due = _due(before, target)
    if not due:
        target.log.info("These partitions are up to date.")
        return Written(Commit(before.silver.version(), changed=False))
    before = _with_new_columns(before, target)
    if before.full_rebuild and live_files(before.silver):
        target.log.info(f"{target.layer}/{target.name} is built again as a whole: its columns or its layout have changed.")
    with _recording_refusals(before, target, due):
        return _build(before, session, target, due)


def _build(before: Before, session: Session, target: Target, due: dict[date, str]) -> Written:
    """The way of the rows; of dates that are refused nothing is published."""
    table = before.table
    hits: dict[date, list[RuleHits]] = {}
    refused: set[date] = set()
    written: Written | None = None
    partners = _partners(session(), target, before)
    while due:
        with data_folder(target.root, target.layer, target.name, target.run_id) as folder, connect(target.root) as connection:
            judged = [
                judge(transform(_read(session(), target, before, feed, due), table, given), table, given, partners)
                for given in table.inputs
                if (feed := given.feed.table) in before.raw
            ]
            stage = Stage(folder, table, connection)
            stage.write(decide(judged, table.contract), due)
            hits |= stage.rule_hits()
            if stage.rejected_dates:
                # Rows of a date that is not published must not supersede those of one that is: judged again without it.
                refused |= stage.rejected_dates
                if before.full_rebuild and refused & table_facts(before.silver).rows_by_date.keys():
                    # Its live rows can't stay in a table of other columns, so no date can change to them yet.
                    raise _audit_error(table, refused, hits, None, refused=set(due) | refused)
                due = {day: fingerprint for day, fingerprint in due.items() if day not in refused}
                continue
            batches = quarantine_rows(Quarantine(target.root), stage, target, before.raw)
            after = _reconcile(session, stage, target, before, due)
            commit = _commit(stage, target, before, due, after)
            came_in = rows_in(connection, table, target, before.raw_records, before.raw, due)
            records = _account(stage, target, before, due, commit, hits, batches, came_in)
            by_date = {r.date: account_metadata(r) for r in records}
            written = Written(commit, {"partitions_built": len(due)}, by_date)
            break
    if refused:
        nothing = Written(Commit(before.silver.version(), changed=False))
        raise _audit_error(table, refused, hits, written or nothing, refused=refused)
    assert written is not None, "there was something due"
    return written


def _look(table: SilverTable, target: Target) -> Before:
    """Open all that the step reads and writes, each after the records that speak of it.

    Raises:
        FileNotFoundError: no feed of the table has a raw table yet.
    """
    root = target.root
    ensure_table(target.uri, contract_schema(table.contract), target.description)
    ledger = Ledger(root)
    names = {feed.table for feed in table.feeds}
    keys = [*(("raw", name) for name in sorted(names)), ("silver", table.name)]
    known = {(layer, name): {key[2]: r for key, r in ledger.read(layer, name).items()} for layer, name in keys}
    accepted = AcceptedDeliveries(root).read() if any(feed.complete for feed in table.feeds) else set()
    # As they stand now: raw is read at these versions, and whoever commits to silver after this makes the commit fail.
    raw = {name: opened for name in sorted(names) if (opened := open_table(root.table("raw", name))) is not None}
    partners = open_partners(root, table.contract)
    silver = DeltaTable(target.uri)
    if not raw:
        raise missing_table(Source(root, "raw", min(names), None, None))
    records = verified(root, "silver", table.name, silver, known["silver", table.name])
    raw_records: RawRecords = {name: verified(root, "raw", name, raw.get(name), known["raw", name]) for name in names}
    aside = read_set_aside(root, target.layer, target.name, silver)
    return Before(table, silver, aside, records, raw, with_empty_dates(table, raw_records, records), partners, accepted)


def _due(before: Before, target: Target) -> dict[date, str]:
    """The partitions to build, with their fingerprints: the stale ones of the target's, or all where none can stay."""
    contract = before.table.contract
    current = silver_fingerprints(before.table, before.raw_records, before.accepted)
    stale = differing(current, before.records)
    if before.aside is not None:
        again = changed_partners(target.root, contract, before.silver, before.aside, before.partners, before.records)
        stale |= {day: current[day] for day in again & current.keys()}
    due = {day: stale[day] for day in target.dates if day in stale}
    return current if due and before.full_rebuild else due


def _with_new_columns(before: Before, target: Target) -> Before:
    """The same with the columns in the table that the contract has gained: live rows have no values in them.

    Dates that can't be built under the new contract keep their rows.
    """
    new = added_columns(before.silver, contract_schema(before.table.contract)) if before.aside is not None else []
    if not new:
        return before
    add_columns(before.silver, target.uri, new, run_id=target.run_id)
    return replace(before, silver=DeltaTable(target.uri))


def _read(session: "SparkSession", target: Target, before: Before, feed: str, due: Collection[date]) -> "DataFrame":
    return read_partitions(session, target.root.table("raw", feed), before.raw[feed], sorted(due))


def _partners(session: "SparkSession", target: Target, before: Before) -> Partners:
    """The values of the partners' columns."""
    found = {}
    for relationship in before.table.contract.waits_for:
        opened = before.partners[relationship.to_table]
        if opened is None:
            kind = next(c.type for c in before.table.contract.columns if c.name == relationship.column)
            found[relationship] = session.sql(f"SELECT CAST(NULL AS {kind}) AS `{relationship.to_column}` WHERE FALSE")
        else:
            rows = read_partitions(session, target.root.table("silver", relationship.to_table), opened, None)
            found[relationship] = rows.select(relationship.to_column)
    return found


def _deliveries(before: Before, due: Collection[date]) -> Deliveries:
    """The complete deliveries that count once the partitions that are due are committed: theirs, and what the table holds of others."""
    held = before.held.aside.without(due).deliveries
    nothing: frozenset[date] = frozenset()
    counted = {}
    for feed in (feed for feed in before.table.feeds if feed.complete):
        of_due = {d.date for d in deliveries(feed, before.raw_records[feed.table], before.accepted) if not d.held_because}
        counted[feed.table] = held.get(feed.table, nothing) | (of_due & set(due))
    return counted


@dataclass(frozen=True)
class _After:
    """What the commit takes out of the table, and the rows that are set aside after it."""

    removed: list[dict[str, Any]]
    aside: SetAside


def _reconcile(session: Session, stage: Stage, target: Target, before: Before, due: Mapping[date, str]) -> _After:
    """Find what the staged rows change in other partitions, and let the engine write those anew."""
    held = before.held
    others = held.without(due)
    counted = _deliveries(before, due)
    touched: set[date] = set()
    has_others = others.files or others.aside.batches or any(counted.values())
    if stage.contract.mode != "snapshot" and has_others:
        changes = changed_rows(stage, held.of(due), others, counted)
        rewritten = set(changes.column(DATE_COLUMN).to_pylist())
        touched = rewritten - due.keys()
        if rewritten:
            with _as_conflict(target.uri, before.silver.version()):
                _rewrite(session(), stage, target, before.silver, others.of(touched), changes, rewritten)
    removed = due.keys() | touched
    kept = held.aside.without(due)
    kept = kept.with_reason(SUPERSEDED).without(touched) + kept.with_reason(WAITING, DROPPED)
    aside = stage.in_few_batches(kept + stage.aside)
    return _After(held.of(removed).files, SetAside(aside.batches, counted))


def _rewrite(
    session: "SparkSession",
    stage: Stage,
    target: Target,
    silver: DeltaTable,
    touched: Held,
    changes: "pa.Table",
    dates: set[date],
) -> None:
    """Let the engine write the partitions anew in which a row changes its state."""
    contract = stage.contract
    columns = table_columns(contract)
    live = read_partitions(session, target.uri, silver, sorted({f["date"] for f in touched.files})).select(*columns)
    if staged := [f.path for f in stage.ok if f.date in dates]:
        live = live.unionByName(read_staged(session, target.uri, staged, contract).select(*columns))
    left = touched.aside.with_reason(SUPERSEDED) + stage.aside.with_reason(SUPERSEDED).of(dates)
    superseded = read_aside_rows(session, stage.folder, target.uri, left, contract) if left.batches else None
    stage.rewrite(merged(session, stage.folder, contract, live, superseded, changes), dates)


def _commit(stage: Stage, target: Target, before: Before, due: Mapping[date, str], after: _After) -> Commit:
    """Make the stage part of the table, in one commit that follows the version that was looked at."""
    facts = [stage.table.name, sorted((day.isoformat(), fingerprint) for day, fingerprint in due.items())]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    new_schema = contract_schema(stage.contract) if before.full_rebuild else None
    transaction = write_set_aside(target.root, target.layer, target.name, after.aside)
    # From here on the files may be the table's, even if this process never hears of it: better an orphan than a hole.
    stage.folder.named = {*(f.path for f in stage.ok), *after.aside.files}
    try:
        return commit_files(
            before.silver,
            stage.ok,
            after.removed,
            key=key,
            run_id=target.run_id,
            transaction=transaction,
            new_schema=new_schema,
        )
    except CommitFailedError:
        stage.folder.named = set()
        delete_set_aside(target.root, target.layer, target.name, transaction)
        raise


def _account(
    stage: Stage,
    target: Target,
    before: Before,
    due: Mapping[date, str],
    commit: Commit,
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, str],
    came_in: Mapping[date, int],
) -> list[PartitionRecord]:
    """Record how the published partitions stand, and those whose rows the commit has changed; the records of the published ones."""
    committed = open_table(target.uri, version=commit.version)
    assert committed is not None, "the commit made this version"
    inputs = partner_versions(before.partners)
    records = published_records(target, came_in, hits, batches, stage.waiting(), inputs, committed, due)
    record_partitions(
        target.root,
        target.layer,
        {target.name: committed},
        lambda known: [
            *records,
            *touched_records(target, before.silver, committed, due.keys(), {key[2]: r for key, r in known.items()}),
        ],
        target.run_id,
    )
    return records


@contextmanager
def _recording_refusals(before: Before, target: Target, due: Mapping[date, str]) -> Iterator[None]:
    """Let the books know what was refused by its data or its contract: it is not asked for again until it would be built otherwise."""
    try:
        yield
    except (AuditError, ContractError) as error:
        refused = error.refused if isinstance(error, AuditError) else due.keys()
        changes = {day: change(before.records.get(day), due[day]) for day in refused if day in due}
        RefusedPartitions(target.root).record(target.layer, before.table.name, changes, str(error), target.run_id)
        raise


@contextmanager
def _as_conflict(uri: str, version: int) -> Iterator[None]:
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


def _audit_error(
    table: SilverTable,
    dates: Collection[date],
    hits: Mapping[date, list[RuleHits]],
    written: Written | None,
    *,
    refused: Collection[date],
) -> AuditError:
    fail_rules = {r.name: r for r in table.all_rules if r.outcome == "fail"}
    broken = [
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
        f"silver/{table.name}: {nothing}. {' '.join(broken)} Fix the source file or the rule, then run these partitions again.",
        refused=refused,
        written=written,
    )
