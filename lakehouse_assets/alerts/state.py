"""The incidents that the books show: refused partitions, models that are behind, files, deliveries, freshness, quarantine, volume."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from lakehouse_assets.alerts.incidents import OF_BOOKS, Found, Incident, Kind, masked
from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.books.manifest import Manifest, Manifests
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
from lakehouse_assets.books.refused import RefusedPartitions
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.raw.arrivals import Outstanding, arrivals
from lakehouse_assets.reconcile.plan import make_silver_plan
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.deliveries import held_deliveries
from lakehouse_assets.silver.volume import volumes

_SUCCESS_AGE = timedelta(days=1)
"""A pass that is older is no news."""


def found_in_books(settings: Settings, catalog: Catalog, now: datetime) -> Found:
    """Return the incidents that the books of a lakehouse show at a moment, and the lines of a digest."""
    books = _Books(settings, catalog, now)
    incidents = (*books.refused(), *books.gold(), *books.by_date(), *books.deliveries(), *books.stale(), *books.digest())
    return Found(incidents, OF_BOOKS, tuple(books.summary()))


@dataclass(frozen=True)
class _Books:
    settings: Settings
    catalog: Catalog
    now: datetime

    @cached_property
    def records(self) -> Mapping[tuple[str, str], Mapping[date, PartitionRecord]]:
        """The brief records of raw and silver, by table and date."""
        start = self.settings.lakehouse_start_date
        by_table: dict[tuple[str, str], dict[date, PartitionRecord]] = {}
        for (layer, table, day), record in Ledger(self.settings.root).read(brief=True).items():
            if day >= start:
                by_table.setdefault((layer, table), {})[day] = record
        return by_table

    @cached_property
    def newest_landing(self) -> date | None:
        return Ledger(self.settings.root).newest_landing()

    @cached_property
    def manifest(self) -> Manifest | None:
        return Manifests(self.settings.root).newest()

    def is_recent(self, day: date) -> bool:
        """Whether a date is watched."""
        newest = self.newest_landing
        return newest is not None and newest - timedelta(days=self.settings.lakehouse_alert_days) < day <= newest

    def refused(self) -> Iterator[Incident]:
        """Yield the silver partitions that were refused, and whose inputs have not changed since."""
        refusals = RefusedPartitions(self.settings.root).read()
        names = {table for layer, table, _, _ in refusals if layer == "silver"}
        tables = tuple(table for table in self.catalog.tables if table.name in names)
        if not tables:
            return
        for planned in make_silver_plan(self.settings, Catalog(self.catalog.feeds, tables)).tables:
            for day, fingerprint in planned.to_build.items():
                if ("silver", planned.table, day, fingerprint) in refusals:
                    yield self._of_date(
                        Kind.refused_partition,
                        "silver",
                        planned.table,
                        day,
                        f"{day} is not built: rows of it break a `fail` rule.",
                    )

    def gold(self) -> Iterator[Incident]:
        """Yield the models that are behind the others; if there are none, the pass."""
        if self.manifest is None:
            return
        number, time, behind = self.manifest.number, self.manifest.time, self.manifest.behind
        for name in sorted(behind):
            what = f"pass {number} could not build it or a model that it reads. Users see its last version."
            yield Incident(Kind.behind, f"gold.{name}", what, link=self._asset("gold", name))
        if not behind and timedelta(0) <= self.now - time < _SUCCESS_AGE:
            what = f"Pass {number} is complete: gold is as of {time:%Y-%m-%d %H:%M} UTC."
            yield Incident(Kind.success, f"pass:{number}", what)

    def by_date(self) -> Iterator[Incident]:
        """Yield what is wrong with recent dates: files of which nothing was loaded, too much in quarantine, unusual volume."""
        recent = [
            record
            for (layer, _), records in self.records.items()
            if layer in ("raw", "silver")
            for day, record in records.items()
            if self.is_recent(day)
        ]
        explained: Counter[tuple[str, str, date]] = Counter()
        for record in self._with_files([r for r in recent if r.layer == "raw" and r.rows_quarantined]):
            for file in record.files:
                if file.rows_in and not file.rows_out and not file.duplicate_of and file.batch:
                    explained["raw", record.table_name, record.date] += file.rows_in
                    name = masked(file.name)
                    what = f"the file {name} of {record.date}: all of its {file.rows_in:,} rows are in quarantine."
                    link = self._asset("raw", record.table_name)
                    yield Incident(Kind.refused_file, f"raw.{record.table_name}", what, f"{record.date}/{name}", link=link)
        most = self.settings.lakehouse_alert_quarantined
        for r in recent:
            if r.rows_in and r.rows_quarantined - explained[r.layer, r.table_name, r.date] > most * r.rows_in:
                share = f"{r.rows_quarantined:,} of {r.rows_in:,} rows of {r.date} ({r.rows_quarantined / r.rows_in:.0%})"
                what = f"{share} are in quarantine; up to {most:.0%} is tolerated."
                yield self._of_date(Kind.quarantine, r.layer, r.table_name, r.date, what)
        for declared in self.catalog.tables:
            if declared.contract.volume is not None:
                of_table = self.records.get(("silver", declared.name), {})
                for day, found in volumes(declared.contract.volume, of_table.values(), self.is_recent).items():
                    if found.is_unusual:
                        what = f"{found.rows:,} rows came in on {day}; {found.usual:,.0f} are usual."
                        yield self._of_date(Kind.volume, "silver", declared.name, day, what)

    def _with_files(self, records: Iterable[PartitionRecord]) -> Iterable[PartitionRecord]:
        """Return the full records of some partitions of raw."""
        dates: dict[str, list[date]] = {}
        for record in records:
            dates.setdefault(record.table_name, []).append(record.date)
        return Ledger(self.settings.root).read_dates("raw", dates).values()

    def deliveries(self) -> Iterator[Incident]:
        """Yield deliveries that are late, missing or not as announced, and those that are held back."""
        feeds = [feed for feed in self.catalog.feeds if feed.due or feed.totals]
        raw = {feed.table: self.records.get(("raw", feed.table), {}) for feed in feeds}
        with_totals = [r for feed in feeds if feed.totals for day, r in raw[feed.table].items() if self.is_recent(day)]
        full: dict[str, dict[date, PartitionRecord]] = {}
        for record in self._with_files(with_totals):
            full.setdefault(record.table_name, {})[record.date] = record
        landed = {
            feed.table: {day for day, r in raw[feed.table].items() if r.fingerprint != raw_fingerprint(feed, [])}
            for feed in feeds
        }
        found = arrivals(
            feeds,
            landed,
            full,
            self.now,
            timezone=self.settings.lakehouse_timezone,
            start=self.settings.lakehouse_start_date,
        )
        yield from map(self._outstanding, filter(self._is_watched, found.outstanding))
        for held in held_deliveries(self.settings.root, self.catalog.feeds):
            what = f"the delivery of {held.date} has {held.rows:,} rows, the one before {held.rows_before:,}; it deletes nothing."
            link = self._asset("raw", held.feed.table)
            yield Incident(Kind.held_delivery, held.feed.landing, what, str(held.date), link=link)

    def _is_watched(self, outstanding: Outstanding) -> bool:
        first = self.now.astimezone(UTC).date() - timedelta(days=self.settings.lakehouse_alert_days)
        return outstanding.state != "missing" or outstanding.date > first

    def _outstanding(self, outstanding: Outstanding) -> Incident:
        detail = f"{outstanding.date}/{'due' if outstanding.due else outstanding.state}"
        what = f"delivery of {outstanding.date}: {masked(outstanding.reason)}."
        return Incident(Kind.delivery, outstanding.feed, what, detail, outstanding.due)

    def stale(self) -> Iterator[Incident]:
        """Yield the tables that lag behind landing by more than their contracts allow; not those whose feeds never landed."""
        newest_landing = self.newest_landing
        for table in self.catalog.tables:
            allowed, records = table.contract.freshness, self.records.get(("silver", table.name), {})
            has_landed = records or any(("raw", feed.table) in self.records for feed in table.feeds)
            if allowed is None or newest_landing is None or not has_landed:
                continue
            newest = max((day for day, r in records.items() if r.rows_out), default=None)
            if newest is None or newest_landing - newest > allowed:
                rows = f"its newest rows are of {newest}" if newest else "it has no rows"
                what = f"{rows}; files of {newest_landing} have landed. Up to {allowed / timedelta(days=1):g} days are allowed."
                yield Incident(Kind.stale, f"silver.{table.name}", what, link=self._asset("silver", table.name))

    def digest(self) -> Iterator[Incident]:
        """Yield the digest of the day, once its hour has come."""
        local = self.now.astimezone(ZoneInfo(self.settings.lakehouse_timezone))
        if local.hour >= self.settings.lakehouse_alert_digest_hour:
            yield Incident(Kind.digest, str(local.date()), "The digest of the day.")

    def summary(self) -> Iterator[str]:
        """Yield what a digest says of the newest date and the newest pass."""
        day = self.newest_landing
        if day is not None:
            counts: Counter[str] = Counter()
            for (layer, _), records in self.records.items():
                if layer == "raw" and day in records:
                    counts += Counter(
                        tables=1,
                        rows=records[day].rows_in or 0,
                        live=records[day].rows_out,
                        rejected=records[day].rows_quarantined,
                    )
            yield (
                f"The newest files are of {day}: {counts['rows']:,} rows for {counts['tables']} tables; "
                f"{counts['live']:,} loaded, {counts['rejected']:,} in quarantine."
            )
        if self.manifest is not None:
            yield f"The newest pass is {self.manifest.number}, of {self.manifest.time:%Y-%m-%d %H:%M} UTC."

    def _of_date(self, kind: Kind, layer: str, table: str, day: date, what: str) -> Incident:
        return Incident(kind, f"{layer}.{table}", what, str(day), link=self._asset(layer, table))

    def _asset(self, layer: str, name: str) -> str:
        return asset_link(self.settings.lakehouse_ui_url, layer, name)


def asset_link(ui_url: str | None, layer: str, name: str) -> str:
    """Return the address of a table's page in the UI; empty if it is not known where the UI is."""
    return f"{ui_url.rstrip('/')}/assets/{layer}/{name}" if ui_url else ""
