"""The plan: how landing, raw, silver and gold differ. Making it changes nothing and needs neither engine nor Dagster.

Nothing is remembered between passes. Each partition's ledger record says what it was built from. If that is not what the layer
before has now, the partition is built again. A lost pass, a repeated one, a late file and a killed run all lead to the same plan.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from lakehouse_assets.books.accepted import AcceptedDeliveries
from lakehouse_assets.books.ledger import Ledger, PartitionRecord, Records
from lakehouse_assets.books.records import read_books
from lakehouse_assets.books.refused import Refusals, RefusedPartitions
from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.tables import forget_open_tables, open_table
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.gold.models import Model, model_fingerprint, stale_models, table_states, zone_built_in
from lakehouse_assets.gold.project import GoldProject
from lakehouse_assets.landing.objects import Landing, LandingObject, shown
from lakehouse_assets.publish.served import unpublished
from lakehouse_assets.raw.arrivals import Arrivals, arrivals
from lakehouse_assets.raw.load import FileDifference, differences
from lakehouse_assets.raw.readers.formats import read_header
from lakehouse_assets.reconcile.scan import ScanBudget, ScanResult, scan_all, scan_within
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.deliveries import Accepted, Delivery, held_deliveries
from lakehouse_assets.silver.fingerprints import change, stale_dates
from lakehouse_assets.silver.waiting import dates_to_judge_again, dates_with_waiting_rows, open_partners, partner_versions
from lakehouse_assets.store.root import Root

_NAMED = 5

MAX_GAP_DAYS = 14
"""Dates at most this far apart share a run: a run costs more than a few partitions with nothing to do."""


@dataclass(frozen=True)
class PlannedFile:
    """A landing file whose current state is not in raw yet."""

    table: str
    date: date
    name: str
    change: Literal["new", "changed", "vanished"]
    bytes: int
    version: str = ""
    new_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedTable:
    """A table and its partitions to build."""

    layer: str
    table: str
    dates: tuple[date, ...]
    again: int = 0
    """How many of the dates are built again although their files have not changed."""
    to_build: Mapping[date, str] = field(default_factory=dict)
    """By date, the fingerprint of what it is to be built from. It distinguishes differences over the same dates."""
    reason: str = ""
    """Why it is built again although its inputs have not changed, if it is known."""
    left_out: tuple[date, ...] = ()
    """Stale partitions that are not built: they were refused, and their inputs have not changed since."""

    @property
    def key(self) -> tuple[str, str]:
        """The asset's key."""
        return self.layer, self.table


@dataclass(frozen=True)
class Plan:
    """What a pass would build, and which landing objects it would ignore, each with the reason."""

    files: tuple[PlannedFile, ...]
    tables: tuple[PlannedTable, ...]
    ignored: tuple[tuple[str, str], ...]
    next_cursor: str = ""
    """Where the next scan continues its round-robin over older dates, if the plan had a scan budget."""
    held: tuple[Delivery, ...] = ()
    """Complete deliveries that delete nothing until a user has looked at them, each with the reason."""
    refused: tuple[str, ...] = ()
    """A sentence for each table or model that is left out because it was refused and its inputs have not changed."""
    arrivals: Arrivals | None = None
    """What is late, missing or short at the moment for which the plan was made, if one was given."""
    older: frozenset[date] = frozenset()
    """The older dates that the round-robin reached and on which raw differs. Its next round finds those that are not resolved."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to build."""
        return not self.tables

    def of_layers(self, *layers: str) -> list[PlannedTable]:
        """Return the tables to build in the given layers."""
        return [t for t in self.tables if t.layer in layers]

    @property
    def rebuilt(self) -> str:
        """Sentences on the tables that are built again although no file has changed; empty if there are none."""
        again: dict[str, list[str]] = {}
        for t in self.tables:
            if t.again:
                name = f"{t.layer}.{t.table} ({t.again:,} partition{'s' if t.again > 1 else ''})"
                again.setdefault("code, contract or inputs have changed", []).append(name)
            if t.reason:
                again.setdefault(t.reason, []).append(f"{t.layer}.{t.table}")
        return " ".join(f"Built again, because {reason}: {', '.join(tables)}." for reason, tables in again.items())

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values: `files`, `tables`, `ignored`, `held`, `arrivals`, `bytes`."""
        return {
            "files": [{**asdict(f), "date": f.date.isoformat()} for f in self.files],
            "tables": [_plain(table) for table in self.tables],
            "ignored": [{"path": path, "reason": reason} for path, reason in self.ignored],
            "held": [delivery.to_json() for delivery in self.held],
            "arrivals": self.arrivals.to_json() if self.arrivals else None,
            "bytes": sum(f.bytes for f in self.files),
        }


def make_plan(
    settings: Settings,
    catalog: Catalog,
    *,
    budget: ScanBudget | None = None,
    read_headers: bool = False,
    now: datetime | None = None,
) -> Plan:
    """Compare all layers: raw with all of landing, or with as much of it as `budget` allows.

    With `read_headers`, new and changed files are opened to find the columns that they add or lack. With `now`, the plan also says
    what is late, missing or short at that moment; it decides nothing that is built.
    """
    return _plan(settings, catalog, catalog, budget, {}, None, read_headers=read_headers, now=now)


def make_system_plan(
    settings: Settings, catalog: Catalog, system: str, budget: ScanBudget, resting: Collection[str] = ()
) -> Plan:
    """Compare landing, raw and silver of one system. Feeds whose raw tables are in `resting` count as unchanged.

    Partitions that were refused and whose inputs have not changed are left out, and named in `refused`.
    """
    own = catalog.of_system(system)
    awake = Catalog(tuple(feed for feed in own.feeds if feed.table not in resting), own.tables)
    return _plan(settings, catalog, awake, budget, RefusedPartitions(settings.root).read(), system)


def make_follow_plan(
    settings: Settings, catalog: Catalog, resting: Collection[str] = (), budget: ScanBudget | None = None
) -> Plan:
    """Compare all layers as `make_plan` does, for a process that nobody attends: what was refused and has not changed is left out.

    Feeds whose raw tables are in `resting` count as unchanged.
    """
    awake = Catalog(tuple(feed for feed in catalog.feeds if feed.table not in resting), catalog.tables)
    return _plan(settings, catalog, awake, budget, RefusedPartitions(settings.root).read(), None)


def _plan(
    settings: Settings,
    all_systems: Catalog,
    catalog: Catalog,
    budget: ScanBudget | None,
    refusals: Refusals,
    system: str | None,
    *,
    read_headers: bool = False,
    now: datetime | None = None,
) -> Plan:
    """Plan the feeds and tables of `catalog`, and gold if `system` is None. `all_systems` gives all known landing folders."""
    forget_open_tables()
    landing = Landing(settings.root)
    scan, records = _scan(settings, landing, catalog, budget, with_gold=system is None)
    start = settings.lakehouse_start_date
    built = _by_table(_since(start, records))
    files: list[PlannedFile] = []
    tables: list[PlannedTable] = []
    older: set[date] = set()
    for feed in catalog.feeds:
        dates = None if scan.dates is None else scan.dates[feed.table]
        raw = built.get(("raw", feed.table), {})
        differing = differences(feed, scan.objects[feed.table], raw, dates, scan.hidden.get(feed.table, ()))
        files += [file for d in differing for file in _files(feed, d)]
        raw_dates = {d.date for d in differing}
        older |= raw_dates & scan.older.get(feed.table, set())
        tables += _table("raw", feed.table, dict.fromkeys(raw_dates, feed.digest()))
    silver, refused = _silver(settings, catalog, records, {t.table: set(t.dates) for t in tables}, refusals)
    tables += silver
    if system is None:
        tables += _gold(settings.gold_project, {t.table: t.dates for t in silver}, records, start)
        tables += _published(settings, all_systems, {t.key: t.dates for t in tables})
    ignored = [*scan.ignored, *landing.strangers([feed.landing for feed in all_systems.feeds], system)]
    if read_headers:
        files, unreadable = _with_headers(files, {feed.table: feed for feed in catalog.feeds}, settings.root, landing)
        ignored += unreadable
    return Plan(
        tuple(files),
        tuple(tables),
        tuple(dict.fromkeys(ignored)),
        scan.next_cursor,
        tuple(held_deliveries(settings.root, catalog.feeds)),
        tuple(refused),
        _arrivals(settings, catalog, scan, built, tables, now) if now else None,
        frozenset(older),
    )


def _arrivals(
    settings: Settings,
    catalog: Catalog,
    scan: ScanResult,
    built: Mapping[tuple[str, str], Mapping[date, PartitionRecord]],
    planned: Iterable[PlannedTable],
    now: datetime,
) -> Arrivals:
    """Return what is outstanding. A partition that is about to be loaded is compared with its control totals once it is."""
    differing = {t.table: t.dates for t in planned if t.layer == "raw"}
    landed = {table: {obj.date for obj in objects} for table, objects in scan.objects.items()}
    records = {
        feed.table: {day: r for day, r in built.get(("raw", feed.table), {}).items() if day not in differing.get(feed.table, ())}
        for feed in catalog.feeds
    }
    return arrivals(
        catalog.feeds, landed, records, now, timezone=settings.lakehouse_timezone, start=settings.lakehouse_start_date
    )


def make_silver_plan(settings: Settings, catalog: Catalog, *, with_refused: bool = True) -> Plan:
    """Compare only silver with raw and with its own current tables: a waiting row's partner may have just arrived.

    Unless `with_refused`, partitions that were refused and whose inputs have not changed are left out.
    """
    forget_open_tables()
    refusals = {} if with_refused else RefusedPartitions(settings.root).read()
    names = [*(("raw", feed.table) for feed in catalog.feeds), *(("silver", table.name) for table in catalog.tables)]
    return Plan((), tuple(_silver(settings, catalog, read_books(settings.root, names, brief=True), {}, refusals)[0]), ())


def _silver(
    settings: Settings,
    catalog: Catalog,
    records: Records,
    raw_dates: Mapping[str, set[date]],
    refusals: Refusals,
) -> tuple[list[PlannedTable], list[str]]:
    """Return the silver tables with stale partitions, and a sentence for each table with refused ones.

    A partition also counts as stale if raw is about to change on its date (`raw_dates`, by raw table). `records` include dates
    before the start date: whether a delivery counts depends on those before it.
    """
    root, start, built = settings.root, settings.lakehouse_start_date, _by_table(records)
    refused: list[str] = []
    accepted: Accepted = AcceptedDeliveries(root).read() if any(feed.complete for feed in catalog.feeds) else set()
    planned: dict[str, PlannedTable] = {}
    for table in catalog.by_partners():
        raw = {feed.table: built.get(("raw", feed.table), {}) for feed in table.feeds}
        silver = built.get(("silver", table.name), {})
        stale = {day: fingerprint for day, fingerprint in stale_dates(table, raw, silver, accepted).items() if day >= start}
        changed = set().union(*(raw_dates.get(feed.table, set()) for feed in table.feeds))
        to_build: dict[date, str] = {}
        if table.contract.waits_for:
            rejudged = dates_to_judge_again(root, table.contract, silver)
            if any(r.to_table in planned for r in table.contract.waits_for):
                rejudged |= dates_with_waiting_rows(root, table.contract)
            partners = [
                f"{v.table} {v.table_id} {v.delta_version}" for v in partner_versions(open_partners(root, table.contract))
            ]
            rejudged = {day for day in rejudged & silver.keys() if day >= start}
            to_build |= dict.fromkeys(rejudged, " ".join([table.digest(), *partners]))
        # A stale date keeps its own fingerprint, without partners: they do not decide whether it is refused.
        to_build |= {day: change(silver.get(day), fingerprint) for day, fingerprint in stale.items()}
        known_bad = {day for day in stale.keys() - changed if ("silver", table.name, day, to_build[day]) in refusals}
        if known_bad:
            refused.append(f"silver/{table.name} of {_few(known_bad)}: refused. {UNTIL_CHANGED}")
        to_build |= {day: f"{to_build.get(day, table.digest())}, and what raw becomes" for day in changed}
        to_build = {day: fingerprint for day, fingerprint in to_build.items() if day not in known_bad}
        again = sum(day in silver and not silver[day].is_unverified for day in to_build.keys() - changed)
        left_out = tuple(sorted(known_bad))
        planned |= {t.table: replace(t, again=again, left_out=left_out) for t in _table("silver", table.name, to_build)}
    return [planned[table.name] for table in catalog.tables if table.name in planned], refused


UNTIL_CHANGED = (
    "It is requested again once a file, the contract or the code changes. "
    "To retry now, retry the run in the UI or run `lakehouse sync`."
)


def _few(dates: Collection[date]) -> str:
    """Name the first dates, and say how many more there are."""
    named = ", ".join(str(day) for day in sorted(dates)[:_NAMED])
    return named + (f" and {len(dates) - _NAMED} more dates" if len(dates) > _NAMED else "")


def date_ranges(dates: Iterable[date]) -> list[tuple[date, date]]:
    """Group the dates into ranges; dates at most `MAX_GAP_DAYS` apart share one.

    >>> date_ranges([date(2026, 1, 1), date(2026, 1, 3), date(2026, 2, 1)])
    [(datetime.date(2026, 1, 1), datetime.date(2026, 1, 3)), (datetime.date(2026, 2, 1), datetime.date(2026, 2, 1))]
    """
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(dates)):
        if ranges and day - ranges[-1][1] <= timedelta(days=MAX_GAP_DAYS):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def make_gold_plan(settings: Settings) -> Plan:
    """Compare only gold, with the current silver."""
    return _gold_plan(settings, {})


def make_gold_sensor_plan(settings: Settings, catalog: Catalog) -> Plan:
    """Plan gold without models that were refused and whose inputs have not changed.

    `ignored` has the objects in landing that belong to no system.
    """
    plan = _gold_plan(settings, RefusedPartitions(settings.root).read())
    strangers = Landing(settings.root).strangers([feed.landing for feed in catalog.feeds], "")
    return replace(plan, ignored=tuple(strangers))


def _gold_plan(settings: Settings, refusals: Refusals) -> Plan:
    """Plan gold, without models that are refused and those that read them."""
    forget_open_tables()
    project = settings.gold_project
    all_models = project.models()
    records = read_books(settings.root, _gold_tables(all_models), brief=True)
    planned = {t.table: t for t in _gold(project, {}, records, settings.lakehouse_start_date)}
    known = {(layer, name, fingerprint) for layer, name, _, fingerprint in refusals}
    refused = [name for name, t in planned.items() if ("gold", name, next(iter(t.to_build.values()))) in known]
    left_out = set(refused)
    for model in all_models:
        if left_out.intersection(model.refs):
            left_out.add(model.name)
    reasons = tuple(f"gold/{name}: refused. {UNTIL_CHANGED}" for name in refused)
    return Plan((), tuple(t for name, t in planned.items() if name not in left_out), (), refused=reasons)


def _gold(
    project: GoldProject,
    changing: dict[str, tuple[date, ...]],
    records: Records,
    start: date,
) -> list[PlannedTable]:
    """Return the models that are stale now, or will be once silver has changed on the dates in `changing`, by table.

    A model reads all live rows, including those of dates before the start date. These are not partitions, but they count.
    """
    all_models, shared, states = project.models(), project.shared_digest, table_states(records)
    stale = stale_models(all_models, records, shared)
    silver = {table for layer, table, _ in records if layer == "silver"} | changing.keys()
    possible: set[str] = set()
    planned: dict[str, set[date]] = {}
    for model in all_models:
        if silver and model.can_be_built(silver) and possible.issuperset(model.refs):
            possible.add(model.name)
            from_silver = (changing.get(s, ()) for s in model.sources)
            planned[model.name] = stale.get(model.name, set()).union(*from_silver, *(planned[r] for r in model.refs))
    fingerprints = {model.name: model_fingerprint(model, states, shared) for model in all_models}
    partitions = {day for layer, _, day in records if layer == "silver" and day >= start}
    since = {name: {d for d in dates if d >= start} or (partitions if dates else set()) for name, dates in planned.items()}
    by_name = {model.name: model for model in all_models}
    return [
        replace(table, reason=_rezoned(by_name[name], records))
        for name, dates in since.items()
        for table in _table("gold", name, dict.fromkeys(dates, fingerprints[name]))
    ]


def _rezoned(model: Model, records: Records) -> str:
    """Say that a model was built with another time zone of the business day; empty if it was not."""
    if model.timezone is None:
        return ""
    built = (record for (layer, table, _), record in records.items() if (layer, table) == ("gold", model.name))
    zones = sorted({zone for record in built if (zone := zone_built_in(record)) and zone != model.timezone})
    return f"LAKEHOUSE_TIMEZONE was {' and '.join(zones)} and is {model.timezone}" if zones else ""


def make_publish_plan(settings: Settings, catalog: Catalog) -> Plan:
    """Compare only what is published with the current tables."""
    forget_open_tables()
    return Plan((), tuple(_published(settings, catalog, {})), ())


def _published(settings: Settings, catalog: Catalog, changing: Mapping[tuple[str, str], Sequence[date]]) -> list[PlannedTable]:
    """Return what targets don't hold as it is, or won't once tables have changed on the dates in `changing`.

    Of a target that can't be reached, all tables are planned: the run says why it can't.
    """
    planned = []
    for target in settings.targets(catalog):
        tables = {d.served: d for d in unpublished(settings.root, target)}
        for served in target.tables:
            key, difference = (served.layer, served.name), tables.get(served)
            if difference is None and key not in changing:
                continue
            contents = difference.wanted.contents if difference else {}
            dates = {*(difference.dates if difference else ()), *changing.get(key, ())} or {settings.lakehouse_start_date}
            wanted = f"{difference.wanted.meaning} {difference.wanted.columns}" if difference else ""
            to_build = {day: f"{contents.get(day, '')} {wanted}" for day in dates}
            planned.append(PlannedTable(target.name, served.title, tuple(sorted(dates)), to_build=to_build))
    return planned


def _gold_tables(all_models: Sequence[Model]) -> list[tuple[str, str]]:
    """Return the tables whose records show which models are stale: the silver tables they read, and their own."""
    return [*(("silver", s) for m in all_models for s in m.sources), *(("gold", m.name) for m in all_models)]


def _since(start: date, records: Records) -> Records:
    """Return the records from the start date on. Earlier dates are not partitions any more, and their rows stay as they are."""
    return {key: record for key, record in records.items() if key[2] >= start}


def _scan(
    settings: Settings, landing: Landing, catalog: Catalog, budget: ScanBudget | None, *, with_gold: bool
) -> tuple[ScanResult, Records]:
    """Scan landing, and read the ledger's records; those of the scanned raw dates include their files."""
    start = settings.lakehouse_start_date
    # All feeds of the tables: a resting feed or one of another system is an input of theirs too.
    feeds = [*catalog.feeds, *(feed for table in catalog.tables for feed in table.feeds)]
    own = [*(("raw", feed.table) for feed in feeds), *(("silver", table.name) for table in catalog.tables)]
    tables = dict.fromkeys([*own, *(_gold_tables(settings.gold_project.models()) if with_gold else ())])
    if budget is None:
        records = read_books(settings.root, tables)
        return scan_all(landing, catalog.feeds, start), records
    records = read_books(settings.root, tables, brief=True)
    raw = {table: table_records for (layer, table), table_records in _by_table(_since(start, records)).items() if layer == "raw"}
    scan = scan_within(budget, landing, catalog.feeds, start, raw)
    with_files = Ledger(settings.root).read_dates("raw", scan.dates or {})
    return scan, records | {
        key: r if r.fingerprint == records[key].fingerprint else replace(r, fingerprint=records[key].fingerprint)
        for key, r in with_files.items()
        if key in records
    }


def _by_table(records: Records) -> dict[tuple[str, str], dict[date, PartitionRecord]]:
    """Group records by layer and table, then by date."""
    by_table: dict[tuple[str, str], dict[date, PartitionRecord]] = {}
    for (layer, table, day), record in records.items():
        by_table.setdefault((layer, table), {})[day] = record
    return by_table


def _table(layer: str, table: str, fingerprints: Mapping[date, str]) -> list[PlannedTable]:
    """Return the table with its dates to build, in a list; an empty list if there are none."""
    return [PlannedTable(layer, table, tuple(sorted(fingerprints)), to_build=fingerprints)] if fingerprints else []


def _plain(table: PlannedTable) -> dict[str, Any]:
    """Return a planned table as plain values."""
    return {
        "layer": table.layer,
        "table": table.table,
        "dates": [day.isoformat() for day in table.dates],
        "due": {day.isoformat(): fingerprint for day, fingerprint in sorted(table.to_build.items())},
        "again": table.again,
        "reason": table.reason,
    }


def _files(feed: Feed, difference: FileDifference) -> list[PlannedFile]:
    """Return the files of a raw partition that are new, changed or vanished."""
    table, day = feed.table, difference.date
    read = [
        PlannedFile(table, day, o.name, "changed" if o.name in difference.known else "new", o.size, o.version)
        for o in difference.read
    ]
    return [*read, *(PlannedFile(table, day, name, "vanished", 0) for name in difference.vanished)]


def _with_headers(
    files: Sequence[PlannedFile], feeds: Mapping[str, Feed], root: Root, landing: Landing
) -> tuple[list[PlannedFile], list[tuple[str, str]]]:
    """Add to each file the columns that it adds or lacks. Also returns the files that can't be read, with the reason."""
    with_headers: list[PlannedFile] = []
    unreadable: list[tuple[str, str]] = []
    for file in files:
        feed = feeds[file.table]
        source = LandingObject(feed.landing, file.date, file.name, file.version, file.bytes)
        header: list[str] | None = None
        try:
            has_rows = file.change != "vanished" and not feed.is_manifest(file.name)
            header = read_header(landing.read(source), feed, file.name, file.bytes, file.date) if has_rows else None
        except UnreadableError as error:
            unreadable.append((shown(source.path), error.reason))
        except FileNotFoundError:
            pass  # deleted since it was listed
        if header is not None:
            table = open_table(root.table("raw", feed.table))
            expected = {*feed.column_names, *(f.name for f in (table.schema().fields if table is not None else ()))}
            new = tuple(name for name in header if name not in expected)
            missing = tuple(snake_case(c.name) for c in feed.missing(header))
            file = replace(file, new_columns=new, missing_columns=missing)
        with_headers.append(file)
    return with_headers, unreadable
