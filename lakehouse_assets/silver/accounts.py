"""Row accounts of silver: how the rows of each partition stand after a commit."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from deltalake import DeltaTable

from lakehouse_assets.storage.books import contents
from lakehouse_assets.storage.handlers import Target
from lakehouse_assets.storage.ledger import PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.superseded import superseded_rows_by_date
from lakehouse_assets.storage.tables import table_facts


def published_records(
    target: Target,
    raw: Mapping[date, PartitionRecord],
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, str],
    committed: DeltaTable,
    published: Mapping[date, str],
) -> list[PartitionRecord]:
    """The records of the published partitions, whose fingerprints are given, at the version that published them.

    Each figure is counted on its own, none by subtraction: rows that stand by the table's log, superseded ones by the files that hold
    them, quarantined ones in the quarantine, rows that came in by the raw table's record.
    """
    standing = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed)
    assert superseded is not None, "the commit names them"
    quarantined = Quarantine(target.root).counted(target.layer, target.name, set(batches.values()))
    return [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=raw[day].rows_out,
            rows_out=standing.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            rows_superseded=superseded.get(day, 0),
            delta_version=committed.version(),
            run_id=target.run_id,
            fingerprint=mark,
            rules=hits.get(day, []),
            batches=[batches[day]] if day in batches else [],
        )
        for day, mark in sorted(published.items())
    ]


def touched_records(
    target: Target,
    before: DeltaTable,
    committed: DeltaTable,
    published: Mapping[date, str],
    known: Mapping[date, PartitionRecord],
) -> list[PartitionRecord]:
    """The records of other partitions whose rows the commit has changed, out of those that are `known`.

    A record that did not fit the version before the commit does not fit the one after it, and is left to be built again.
    """
    was = contents(target.root, target.layer, target.name, before)
    now = contents(target.root, target.layer, target.name, committed)
    standing = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed) or {}
    return [
        replace(
            record,
            rows_out=standing.get(day, 0),
            rows_superseded=superseded.get(day, 0),
            delta_version=committed.version(),
            run_id=target.run_id,
        )
        for day, record in sorted(known.items())
        if day not in published and was.get(day, "") != now.get(day, "") and record.content == was.get(day, "")
    ]
