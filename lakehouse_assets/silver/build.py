"""Builds partitions of a silver table, from raw rows to the commit, in these steps:

    read        the raw partitions to build, for each input; of a date to which files were only added, these files
    transform   apply the input's function, then the contract's types
    judge       apply all rules, and look for partners
    decide      which rows of a key are live
    stage       write all rows by verdict, in one job of the engine
    quarantine  the rows that can't be loaded, with the reason and the original text
    reconcile   find what the new rows change in other partitions, and in what a date had already
    commit      everything at once, or nothing
    account     record the figures of each partition in the ledger

If a step is killed in between, the next pass repairs it.
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
    Deliveries,
    SetAside,
    TableVersion,
    delete_set_aside,
    read_set_aside,
    write_set_aside,
)
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.data_files import data_folder, read_partitions, read_sources
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
from lakehouse_assets.engine.session import is_remote
from lakehouse_assets.errors import AuditError, ContractError
from lakehouse_assets.hooks.spark_plan import is_row_by_row
from lakehouse_assets.silver.accounts import built_records, rows_in, touched_records
from lakehouse_assets.silver.additions import ToBuild, with_additions
from lakehouse_assets.silver.deliveries import Accepted, deliveries
from lakehouse_assets.silver.fingerprints import RawRecords, change, differing, silver_fingerprints, with_empty_dates
from lakehouse_assets.silver.held import Held
from lakehouse_assets.silver.judge import Partners, decide, judge, table_columns
from lakehouse_assets.silver.look_up import Changes, Opened, look_up
from lakehouse_assets.silver.merge import changed_rows, merged, with_small_files
from lakehouse_assets.silver.quarantine import quarantine_rows
from lakehouse_assets.silver.schema import added_columns, contract_schema, is_reshaped
from lakehouse_assets.silver.stage import Stage, read_aside_rows, read_staged, staged_columns
from lakehouse_assets.silver.transform import transform
from lakehouse_assets.silver.waiting import OpenedPartners, changed_partners, judged_with, open_partners, partner_versions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LARGE_DATE = 100_000
"""From so many rows a date on, the engine does not sort them by key."""

Session = Callable[[], "SparkSession"]


@dataclass(frozen=True)
class Before:
    """The state at the start of a build: the tables that it reads and writes, at fixed versions, and their records.

    `aside` is None if it is unknown which rows are set aside: then the whole table is built again.
    """

    table: SilverTable
    silver: DeltaTable
    aside: SetAside | None
    records: Mapping[date, PartitionRecord]
    raw: Mapping[str, DeltaTable]
    raw_records: RawRecords
    partners: OpenedPartners
    judged_with: Mapping[str, TableVersion]
    accepted: Accepted

    @cached_property
    def full_rebuild(self) -> bool:
        """Whether no live row can stay: columns have other types now, or it is unknown which rows were superseded."""
        return self.aside is None or is_reshaped(self.silver, contract_schema(self.table.contract))

    @cached_property
    def held(self) -> Held:
        """The rows that can stay."""
        if self.aside is None or self.full_rebuild:
            return Held([], SetAside())
        return Held(live_files(self.silver, self.table.contract.key), self.aside)


def build_partitions(table: SilverTable, session: Session, target: Target) -> Written:
    """Build the stale partitions among the target's, in one commit; do nothing if none is stale.

    Raises:
        AuditError: some partitions have a row that broke a `fail` rule; the others were built.
    """
    # If another writer commits in between, the reconciliation may be wrong: build again.
    return until_committed(lambda: _build_once(table, session, target), attempts=5, first_pause=0.2)


def _build_once(table: SilverTable, session: Session, target: Target) -> Written:
    """Find the stale partitions, and build them at the current table versions."""
    before = _open_tables(table, target)
    to_build = _to_build(before, target)
    if not to_build.dates:
        target.log.info("These partitions are up to date.")
        return Written(Commit(before.silver.version(), changed=False))
    before = _with_new_columns(before, target)
    if before.full_rebuild and live_files(before.silver):
        target.log.info(f"{target.layer}/{target.name} is rebuilt from scratch: its columns or its layout have changed.")
    with _recording_refusals(before, target, to_build):
        return _build(before, session, target, to_build)


def _build(before: Before, session: Session, target: Target, to_build: ToBuild) -> Written:
    """Run the steps of a build. Dates with a row that broke a `fail` rule are left out, and reported at the end."""
    table = before.table
    hits: dict[date, list[RuleHits]] = {}
    refused: set[date] = set()
    written: Written | None = None
    partners = _partners(session(), target, before)
    while to_build.dates:
        with data_folder(target.root, target.layer, target.name, target.run_id) as folder, connect(target.root) as connection:
            inputs = [
                (given, transform(_read(session(), target, before, given.feed.table, to_build), table, given))
                for given in table.inputs
                if given.feed.table in before.raw
            ]
            if to_build.additions and not all(is_row_by_row(rows) for given, rows in inputs if to_build.files(given.feed.table)):
                to_build = replace(to_build, additions={})
                continue
            judged = [judge(rows, table, given, partners) for given, rows in inputs]
            stage = Stage(folder, table, connection)
            by_key = is_remote(session()) or not _has_large_dates(before, to_build)
            rows = decide(judged, table.contract, by_key=by_key)
            stage.write(rows, to_build.dates, None if to_build.whole else to_build.rows(before.raw_records))
            hits |= stage.rule_hits()
            if stage.rejected_dates:
                # Rows of a refused date must not supersede rows of others: judge again without it.
                refused |= stage.rejected_dates
                if before.full_rebuild and refused & table_facts(before.silver).rows_by_date.keys():
                    # Its live rows can't stay in a table with other column types, so no date can be rebuilt yet.
                    raise _audit_error(table, refused, hits, None, refused={*to_build.dates, *refused})
                to_build = to_build.without(refused)
                continue
            if to_build.additions:
                target.log.info(f"Partitions of which only the added files were read: {len(to_build.additions):,}")
            batches = quarantine_rows(Quarantine(target.root), stage, target, before.raw, to_build)
            after = _reconcile(session, stage, target, before, to_build, by_key=by_key)
            commit = _commit(stage, target, before, to_build, after)
            came_in = rows_in(connection, table, target, before.raw_records, before.raw, to_build)
            records = _account(stage, target, before, to_build, commit, hits, batches, came_in)
            by_date = {r.date: account_metadata(r) for r in records}
            written = Written(commit, {"partitions_built": len(to_build.dates)}, by_date)
            break
    if refused:
        unchanged = Written(Commit(before.silver.version(), changed=False))
        raise _audit_error(table, refused, hits, written or unchanged, refused=refused)
    assert written is not None, "there was a partition to build"
    return written


def _open_tables(table: SilverTable, target: Target) -> Before:
    """Read the records, then open the tables that the step reads and writes.

    Raises:
        FileNotFoundError: no feed of the table has a raw table yet.
    """
    root = target.root
    ensure_table(target.uri, contract_schema(table.contract), target.description)
    ledger = Ledger(root)
    names = {feed.table for feed in table.feeds}
    keys = [*(("raw", name) for name in sorted(names)), ("silver", table.name)]
    known = {(layer, name): {key[2]: r for key, r in ledger.read(layer, name, brief=True).items()} for layer, name in keys}
    accepted = AcceptedDeliveries(root).read() if any(feed.complete for feed in table.feeds) else set()
    # Fix the versions: raw is read at these, and if another writer commits to silver after this, the commit fails.
    raw = {name: opened for name in sorted(names) if (opened := open_table(root.table("raw", name))) is not None}
    partners = open_partners(root, table.contract)
    silver = DeltaTable(target.uri)
    if not raw:
        raise missing_table(Source(root, "raw", min(names), None, None))
    records = verified(root, "silver", table.name, silver, known["silver", table.name])
    raw_records: RawRecords = {name: verified(root, "raw", name, raw.get(name), known["raw", name]) for name in names}
    aside = read_set_aside(root, target.layer, target.name, silver)
    raw_records = with_empty_dates(table, raw_records, records)
    return Before(table, silver, aside, records, raw, raw_records, partners, judged_with(partners), accepted)


def _to_build(before: Before, target: Target) -> ToBuild:
    """Return the partitions to build: the target's stale ones, or all in a full rebuild."""
    contract = before.table.contract
    current = silver_fingerprints(before.table, before.raw_records, before.accepted)
    stale = differing(current, before.records)
    again: Collection[date] = ()
    if before.aside is not None:
        again = changed_partners(target.root, contract, before.silver, before.aside, before.partners, before.records)
        stale |= {day: current[day] for day in again & current.keys()}
    fingerprints = {day: stale[day] for day in target.dates if day in stale}
    if fingerprints and before.full_rebuild:
        fingerprints = again = current
    return with_additions(target.root, before.table, fingerprints, before.raw_records, before.records, whole=again)


def _with_new_columns(before: Before, target: Target) -> Before:
    """Add the contract's new columns to the table, as NULL in live rows, and return the new state.

    Dates that can't be built with the new contract keep their rows.
    """
    new = added_columns(before.silver, contract_schema(before.table.contract)) if before.aside is not None else []
    if not new:
        return before
    add_columns(before.silver, target.uri, new, run_id=target.run_id)
    return replace(before, silver=DeltaTable(target.uri))


def _read(session: "SparkSession", target: Target, before: Before, feed: str, to_build: ToBuild) -> "DataFrame":
    """Read the raw rows of a feed for the partitions to build."""
    return read_sources(session, target.root.table("raw", feed), before.raw[feed], to_build.files(feed))


def _partners(session: "SparkSession", target: Target, before: Before) -> Partners:
    """Return the values of each partner's column, by relationship; none if the partner's table does not exist yet."""
    values = {}
    for relationship in before.table.contract.waits_for:
        opened = before.partners[relationship.to_table]
        if opened is None:
            kind = next(c.type for c in before.table.contract.columns if c.name == relationship.column)
            values[relationship] = session.sql(f"SELECT CAST(NULL AS {kind}) AS `{relationship.to_column}` WHERE FALSE")
        else:
            rows = read_partitions(session, target.root.table("silver", relationship.to_table), opened, None)
            values[relationship] = rows.select(relationship.to_column)
    return values


def _deliveries(before: Before, to_build: Collection[date]) -> Deliveries:
    """Return the complete deliveries that count after the commit: those of `to_build`, and those counted for other dates."""
    held = before.held.aside.without(to_build).deliveries
    no_dates: frozenset[date] = frozenset()
    counted = {}
    for feed in (feed for feed in before.table.feeds if feed.complete):
        new = {d.date for d in deliveries(feed, before.raw_records[feed.table], before.accepted) if not d.held_because}
        counted[feed.table] = held.get(feed.table, no_dates) | (new & set(to_build))
    return counted


@dataclass(frozen=True)
class _After:
    """The files that the commit removes from the table, and the rows that are set aside after it."""

    removed: list[dict[str, Any]]
    aside: SetAside


def _has_large_dates(before: Before, to_build: ToBuild) -> bool:
    """Whether the dates to build have so many rows that few of them are replaced by others of their key.

    Then it costs less to look for these in the staged files, and to write a file again that has one, than to let the engine sort
    all rows.
    """
    return to_build.rows(before.raw_records) >= LARGE_DATE * len(to_build.dates)


def _reconcile(session: Session, stage: Stage, target: Target, before: Before, to_build: ToBuild, *, by_key: bool) -> _After:
    """Find what the staged rows change among those that stay, and let the engine rewrite the files with such a row.

    Without `by_key`, also find those that replace other staged rows.
    """
    held = before.held.without(to_build.whole)
    # In a snapshot only rows of one date compete.
    rivals = held if stage.contract.mode != "snapshot" else held.of(to_build.additions)
    counted = _deliveries(before, to_build.dates)
    rewritten = Held([], SetAside())
    if not by_key or rivals.files or rivals.aside.batches or any(counted.values()):
        current = Held([*held.files, *(f.as_dict() for f in stage.ok)], held.aside + stage.aside)
        with _as_conflict(target.uri, before.silver.version()), look_up(session(), stage.folder) as among:
            of = Opened(target.uri, before.silver)
            changes = changed_rows(among, stage, of, before.held.of(to_build.whole), rivals, counted)
            rewritten = changes.among(current)
        dates = {*to_build.additions, *(f["date"] for f in rewritten.files), *rewritten.aside.rows_by_date}
        rewritten = with_small_files(rewritten, current, dates & {f["date"] for f in held.files})
        # A compacted file lacks the dates of its rows, so the engine reads its date whole.
        compacted = held.of(rewritten.compacted_dates).files
        rewritten = Held([*{f["path"]: f for f in [*rewritten.files, *compacted]}.values()], rewritten.aside)
        if rewritten.files or rewritten.aside.batches:
            with _as_conflict(target.uri, before.silver.version()):
                _rewrite(session(), stage, target, before.silver, rewritten, changes)
    paths = {f["path"] for f in rewritten.files}
    removed = before.held.of(to_build.whole).files + [f for f in held.files if f["path"] in paths]
    aside = stage.in_few_batches(held.aside.minus(rewritten.aside) + stage.aside, session)
    return _After(removed, SetAside(aside.batches, counted))


def _rewrite(
    session: "SparkSession", stage: Stage, target: Target, silver: DeltaTable, rewritten: Held, changes: Changes
) -> None:
    """Let the engine write rows again, of live files and of batches set aside, in their new state."""
    contract, columns = stage.contract, table_columns(stage.contract)
    compacted = rewritten.compacted_dates
    live = read_partitions(session, target.uri, silver, sorted(compacted)).select(*columns)
    own = {f.path for f in stage.ok}
    if paths := [f["path"] for f in rewritten.files if f["date"] not in compacted or f["path"] in own]:
        live = live.unionByName(read_staged(session, target.uri, paths, contract).select(*columns))
    aside = rewritten.aside
    superseded = read_aside_rows(session, stage.folder, target.uri, aside, staged_columns(contract)) if aside.batches else None
    rows = merged(session, contract, live, superseded, changes)
    stage.rewrite(rows, {f["path"]: f["date"] for f in rewritten.files}, aside, rewritten.count)


def _commit(stage: Stage, target: Target, before: Before, to_build: ToBuild, after: _After) -> Commit:
    """Commit the staged files to the table, directly after the version that the build started from."""
    facts = [stage.table.name, sorted((day.isoformat(), fingerprint) for day, fingerprint in to_build.fingerprints.items())]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    new_schema = contract_schema(stage.contract) if before.full_rebuild else None
    # Of dates that are still to be judged again, it is unknown with what they were judged.
    known = before.judged_with if to_build.rejudged.issubset(to_build.dates) else {}
    transaction = write_set_aside(target.root, target.layer, target.name, replace(after.aside, judged_with=known))
    try:
        with stage.folder.committing([*(f.path for f in stage.ok), *after.aside.files]):
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
        delete_set_aside(target.root, target.layer, target.name, transaction)
        raise


def _account(
    stage: Stage,
    target: Target,
    before: Before,
    to_build: ToBuild,
    commit: Commit,
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, list[str]],
    came_in: Mapping[date, int],
) -> list[PartitionRecord]:
    """Record the built partitions, and others whose rows the commit changed; return the records of the built ones."""
    committed = open_table(target.uri, version=commit.version)
    assert committed is not None, "the commit made this version"
    inputs = partner_versions(before.partners)
    waiting = stage.waiting(before.held.aside.of(to_build.additions))
    records = built_records(target, came_in, hits, batches, waiting, inputs, committed, to_build)
    record_partitions(
        target.root,
        target.layer,
        {target.name: committed},
        lambda known: [
            *records,
            *touched_records(target, before.silver, committed, to_build.dates, {key[2]: r for key, r in known.items()}),
        ],
        target.run_id,
    )
    return records


@contextmanager
def _recording_refusals(before: Before, target: Target, to_build: ToBuild) -> Iterator[None]:
    """Record partitions refused because of their data or contract: they are not requested again until either changes."""
    try:
        yield
    except (AuditError, ContractError) as error:
        refused = error.refused if isinstance(error, AuditError) else to_build.dates
        wanted = to_build.fingerprints
        changes = {day: change(before.records.get(day), wanted[day]) for day in refused if day in wanted}
        RefusedPartitions(target.root).record(target.layer, before.table.name, changes, str(error), target.run_id)
        raise


@contextmanager
def _as_conflict(uri: str, version: int) -> Iterator[None]:
    """Treat an engine failure as a conflict if another writer has committed: the engine may have read deleted files.

    Raises:
        CommitFailedError: the engine failed, and the table has a newer version than `version`.
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
    """Make the error for dates with a row that broke a `fail` rule, with the broken rules and the keys of some rows."""
    fail_rules = {r.name: r for r in table.all_rules if r.outcome == "fail"}
    broken = [
        f"{day}: {hit.rows} row{'s' if hit.rows > 1 else ''} broke {hit.rule} ({fail_rules[hit.rule].description} "
        f"Keys: {'; '.join(example.partition(chr(9))[0] for example in hit.examples)})"
        for day in sorted(dates)
        for hit in hits.get(day, [])
        if hit.rule in fail_rules
    ]
    outcome = f"nothing was built of {', '.join(str(d) for d in sorted(dates))}"
    if written is None:
        outcome = (
            "nothing was built, because the columns of the table change their types, and some dates can't be built with them"
        )
    return AuditError(
        f"silver/{table.name}: {outcome}. {' '.join(broken)} Fix the source file or the rule, then run these partitions again.",
        refused=refused,
        written=written,
    )
