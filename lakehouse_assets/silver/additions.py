"""Finds the dates to which landing files were only added since silver built them: of these, only the added rows are built.

What such a date has already, live, set aside or in quarantine, stays as it is. Its rows compete with the added ones by the same rule
as rows of other dates, so the table is the one that the whole date would make. Where a row depends on others in another way, dates are
built whole.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from lakehouse_assets.books.ledger import LandedFile, Ledger, PartitionRecord
from lakehouse_assets.books.raw_fingerprint import fingerprint_of_etags, raw_fingerprint
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.hooks.spark_plan import is_row_by_row_sql
from lakehouse_assets.silver.fingerprints import RawRecords, built_from, silver_fingerprints
from lakehouse_assets.store.root import Root

FEW_ROWS = 20_000
"""A date with fewer rows is built whole: that costs less than the look at what it has already."""

_Etags = dict[str, dict[str, str]]
"""By feed: the etags of the landing files of a date whose rows are loaded, by name."""


@dataclass(frozen=True)
class Addition:
    """The landing files that were added to a date, each with its number of raw rows, by feed; and the date's record so far."""

    files: Mapping[str, Mapping[str, int]]
    before: PartitionRecord


@dataclass(frozen=True)
class ToBuild:
    """The partitions to build. Those in `additions` are extended by the rows of these files; all others are built whole."""

    fingerprints: Mapping[date, str]
    sources: Mapping[date, str]
    """What each partition's record says of its landing files, see `PartitionRecord`."""
    additions: Mapping[date, Addition]
    rejudged: frozenset[date] = frozenset()
    """All dates of the table that a change of its partners makes stale, these or others."""

    @property
    def dates(self) -> Collection[date]:
        """All dates to build."""
        return self.fingerprints.keys()

    @property
    def whole(self) -> set[date]:
        """The dates that are built whole."""
        return self.fingerprints.keys() - self.additions.keys()

    def files(self, feed: str) -> dict[date, Collection[str] | None]:
        """The landing files of a feed to read, by date; None for all files of a date."""
        whole: dict[date, Collection[str] | None] = dict.fromkeys(sorted(self.whole))
        return whole | {day: added.files[feed].keys() for day, added in self.additions.items() if added.files.get(feed)}

    def rows(self, raw: RawRecords) -> int:
        """How many raw rows are read."""
        added = (rows for addition in self.additions.values() for files in addition.files.values() for rows in files.values())
        return sum(added) + sum(r.rows_out for of_feed in raw.values() for day, r in of_feed.items() if day in self.whole)

    def without(self, dates: Collection[date]) -> "ToBuild":
        """The partitions of the other dates."""
        return replace(
            self,
            fingerprints={day: f for day, f in self.fingerprints.items() if day not in dates},
            additions={day: added for day, added in self.additions.items() if day not in dates},
        )


def with_additions(
    root: Root,
    table: SilverTable,
    fingerprints: Mapping[date, str],
    raw: RawRecords,
    silver: Mapping[date, PartitionRecord],
    whole: Collection[date],
) -> ToBuild:
    """Find out what to read of the partitions to build; `whole` are dates to build whole in any case.

    `fingerprints` are those that the partitions are to have, `raw` and `silver` verified records.
    """
    landed = {feed.table: _landed(root, feed, fingerprints, raw) for feed in table.feeds}
    loaded = {day: {feed: by_date[day] for feed, by_date in landed.items() if day in by_date} for day in fingerprints}
    unknown = {day for day in fingerprints for feed in landed if day in raw.get(feed, {}) and feed not in loaded[day]}
    sources = {
        day: "" if day in unknown else json.dumps({feed: _etags(files) for feed, files in feeds.items()})
        for day, feeds in loaded.items()
    }
    may_extend = fingerprints.keys() - unknown - set(whole) if _takes_additions(table) else set()
    known = {day for day in may_extend if day in silver and not silver[day].is_unverified}
    records = _records(root, table, {day for day in known if (silver[day].rows_in or 0) >= FEW_ROWS}, silver)
    return ToBuild(fingerprints, sources, _additions(table, raw, records, loaded), frozenset(whole))


def _takes_additions(table: SilverTable) -> bool:
    """Return whether what becomes of a row depends on no other row of its date, but for those of its key.

    A complete delivery may delete any key, and a rule may count rows. Functions are looked at when they are applied.
    """
    contract = table.contract
    expressions = [*(rule.expression for rule in contract.rules), contract.deleted or ""]
    return not any(feed.complete for feed in table.feeds) and all(map(is_row_by_row_sql, expressions))


def _landed(root: Root, feed: Feed, dates: Iterable[date], raw: RawRecords) -> dict[date, dict[str, LandedFile]]:
    """Return the loaded landing files of a feed by date and name, of the dates whose record is still the one in `raw`."""
    known = raw.get(feed.table, {})
    records = Ledger(root).read_dates("raw", {feed.table: known.keys() & set(dates)})
    return {
        day: {file.name: file for file in record.files if not file.duplicate_of and not feed.is_manifest(file.name)}
        for (_, _, day), record in records.items()
        if raw_fingerprint(feed, record.files) == known[day].fingerprint
    }


def _records(
    root: Root, table: SilverTable, dates: Collection[date], silver: Mapping[date, PartitionRecord]
) -> dict[date, PartitionRecord]:
    """Return the full records of some dates, of those whose record is still the one in `silver`."""
    read = Ledger(root).read_dates("silver", {table.name: dates})
    facts = {day: (r.table_id, r.content, r.fingerprint) for day, r in silver.items()}
    return {day: r for (_, _, day), r in read.items() if r.sources and (r.table_id, r.content, r.fingerprint) == facts[day]}


def _additions(
    table: SilverTable,
    raw: RawRecords,
    records: Mapping[date, PartitionRecord],
    loaded: Mapping[date, Mapping[str, Mapping[str, LandedFile]]],
) -> dict[date, Addition]:
    """Return the additions to the dates of `records` that differ from what they were built from by added files alone."""
    if not records:
        return {}
    feeds = {feed.table: feed for feed in table.feeds}
    then: dict[date, _Etags] = {day: json.loads(record.sources) for day, record in records.items()}
    # Whatever else a fingerprint covers has not changed if the recorded files have the recorded fingerprint today.
    raw_then: dict[str, dict[date, PartitionRecord]] = {name: {} for name in feeds}
    for day, etags in then.items():
        for name in etags.keys() & feeds.keys() & loaded[day].keys():
            raw_then[name][day] = replace(raw[name][day], fingerprint=fingerprint_of_etags(feeds[name], etags[name]))
    unchanged = silver_fingerprints(table, {name: by_date for name, by_date in raw_then.items() if by_date})
    return {
        day: Addition(
            {
                name: {file.name: file.rows_out for file in files.values() if file.name not in etags.get(name, {})}
                for name, files in loaded[day].items()
            },
            records[day],
        )
        for day, etags in then.items()
        if unchanged.get(day) == built_from(records[day])
        and all(etags[name].items() <= _etags(loaded[day].get(name, {})).items() for name in etags)
    }


def _etags(files: Mapping[str, LandedFile]) -> dict[str, str]:
    """Return the etags of some landing files by name."""
    return {name: file.etag for name, file in sorted(files.items())}
