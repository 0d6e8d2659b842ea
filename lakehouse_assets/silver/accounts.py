"""Row accounts of silver: how the rows of each partition stand after a commit."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from deltalake import DeltaTable

from lakehouse_assets.storage.handlers import Target
from lakehouse_assets.storage.ledger import BEGUN, Ledger, PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.superseded import superseded_rows_by_date
from lakehouse_assets.storage.tables import Commit, live_files, open_table, table_facts


def silver_records(
    target: Target,
    raw: Mapping[date, PartitionRecord],
    hits: Mapping[date, list[RuleHits]],
    commit: Commit,
    published: Mapping[date, str],
) -> list[PartitionRecord]:
    """The ledger's new records: of the published partitions (with their fingerprints), and of others whose rows changed their state.

    Each figure is counted on its own, none by subtraction: rows that stand by the table's log, superseded ones by the files that hold
    them, quarantined ones in the quarantine, rows that came in by the raw table's record.
    """
    table = open_table(target.uri, version=commit.version)
    assert table is not None, "the commit made the table"
    standing = table_facts(table).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, table)
    assert superseded is not None, "the commit names them"
    quarantined = Quarantine(target.root).by_date(target.layer, target.name)
    mine = [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=raw[day].rows_out,
            rows_out=standing.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            rows_superseded=superseded.get(day, 0),
            delta_version=commit.version,
            run_id=target.run_id,
            fingerprint=mark,
            rules=hits.get(day, []),
        )
        for day, mark in sorted(published.items())
    ]
    # As they are now, so that a mark that another step has made meanwhile stays.
    others = {key[2]: r for key, r in Ledger(target.root).read(target.layer, target.name).items() if key[2] not in published}
    rewritten = _rewritten_dates(table, target.uri)
    changed = []
    for day, record in sorted(others.items()):
        rows_out, rows_superseded = standing.get(day, 0), superseded.get(day, 0)
        if day in rewritten or (record.rows_out, record.rows_superseded) != (rows_out, rows_superseded):
            # A row may change its state, but not leave: where it has, the table was made anew without its date.
            kept = rows_out + rows_superseded == record.rows_out + record.rows_superseded
            changed.append(
                replace(
                    record,
                    rows_out=rows_out,
                    rows_superseded=rows_superseded,
                    delta_version=commit.version,
                    run_id=target.run_id,
                    fingerprint=record.fingerprint if kept else BEGUN,
                )
            )
    return [*mine, *changed]


def _rewritten_dates(table: DeltaTable, uri: str) -> set[date]:
    """The partitions whose files are others than in the version before."""
    before = open_table(uri, version=table.version() - 1)
    assert before is not None, "a table is made empty before its first rows"
    was, now = ({(f["date"], f["path"]) for f in live_files(opened)} for opened in (before, table))
    return {day for day, _ in was ^ now}
