"""Materializes chosen tables, whole layers or systems among them, for chosen dates: `lakehouse run`.

A run is Dagster's: it builds of each table the dates that are stale, and after a failure all that does not depend on it. Gold has a run
of its own after raw and silver, because its models are one step, which a failed table would stop as a whole. Systems that have nothing
to do with each other can be built side by side. Each then has a process of its own, because a process shares open Delta tables, its
environment and its standard output between all that runs in it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import date, timedelta
from graphlib import TopologicalSorter

import dagster as dg

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.gold.models import Model
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.orchestration.in_process import NOT_BUILT, BuiltTable, SyncResult, Tell, execute
from lakehouse_assets.orchestration.instance import close_killed_runs, open_instance
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, PUBLISH_JOB
from lakehouse_assets.orchestration.selection import key_selection
from lakehouse_assets.reconcile.plan import date_ranges
from lakehouse_assets.reconcile.runs import PlannedRun
from lakehouse_assets.settings import LAYERS, Settings

Key = tuple[str, str]
"""Layer and name of a table."""

_NAMED = 5

_ASKED_FOR = "lakehouse run"
"""The reason of runs that a person asks for."""

_ONE = "-m", "lakehouse_assets.cli", "run"
"""Runs this command in a process of its own."""


@dataclass(frozen=True)
class Request:
    """What is to be built: tables, dates (all that have something, if None), and how to go about it.

    `downstream_first` builds each table before those that it reads, so that what stands in the lake reaches gold first. With
    `fail_fast`, nothing more is begun after a failure.
    """

    keys: tuple[Key, ...]
    dates: tuple[date, ...] | None = None
    downstream_first: bool = False
    fail_fast: bool = False


def run(settings: Settings, catalog: Catalog, definitions: dg.Definitions, request: Request, tell: Tell) -> SyncResult:
    """Build the tables of a request. Those that nothing is there to build from are left out."""
    return _Run(settings, catalog, definitions, request, tell).run()


class _Run:
    """One request, and what has become of it so far."""

    def __init__(self, settings: Settings, catalog: Catalog, definitions: dg.Definitions, request: Request, tell: Tell) -> None:
        self._settings, self._catalog, self._definitions = settings, catalog, definitions
        self._request, self._tell = request, tell
        self._result = SyncResult()
        self._models = {model.name: model for model in settings.gold_project.models()}
        self._upstream = _upstream(catalog, self._models.values())
        self._dates = _dates(settings, catalog, self._models, request)

    def run(self) -> SyncResult:
        """Build rows, then gold, then publish; or the other way round."""
        nothing = [key for key in self._request.keys if key not in self._dates]
        if nothing:
            named = ", ".join("/".join(key) for key in nothing[:_NAMED])
            self._tell(
                f"There is nothing yet to build {named}{f' and {more} more' if (more := len(nothing) - _NAMED) > 0 else ''} from."
            )
        with open_instance(self._settings.dagster_home, self._settings.root, self._settings.cache_folder) as instance:
            close_killed_runs(instance)
            stages = [self._build_rows, self._build_gold, self._publish]
            for build in reversed(stages) if self._request.downstream_first else stages:
                build(instance)
        self._result.tables = self._outcome()
        return self._result

    @property
    def _stops(self) -> bool:
        """Whether nothing more is to begin."""
        return self._request.fail_fast and not self._result.succeeded

    def _build_rows(self, instance: dg.DagsterInstance) -> None:
        """Build raw and silver, systems that have nothing to do with each other side by side if the settings say so."""
        chosen = {key for key in self._dates if key[0] in ("raw", "silver")}
        groups = [sorted(chosen & group) for group in self._catalog.unrelated() if chosen & group]
        if self._settings.lakehouse_parallel_runs > 1 and len(groups) > 1:
            self._build_side_by_side(groups)
            return
        for level in self._levels(chosen):
            for run in _runs(level, self._dates, exactly=self._request.dates is not None):
                self._execute(run, instance)

    def _build_gold(self, instance: dg.DagsterInstance) -> None:
        """Build the models whose tables have been written and have not failed just now."""
        broken, written = self._broken(), self._settings.root.table_names("silver")
        published = {*self._settings.root.table_names("gold")}
        ready: list[Key] = []
        for name, model in self._models.items():  # each after those that it reads
            key = ("gold", name)
            missing = [ref for ref in model.refs if ref not in published and ("gold", ref) not in ready]
            if key not in self._dates or not written or not model.can_be_built(written):
                continue
            if causes := _causes(key, self._upstream, broken):
                broken[key] = causes
            elif missing:
                error = f"not built: it reads {_listed(('gold', m) for m in missing)}, never built so far. Select +gold/{name}."
                self._result.tables.append(BuiltTable("gold", name, 0, 0, 0.0, error))
            else:
                ready.append(key)
        if ready:
            days = [day for key in ready for day in self._dates[key]]
            self._execute(PlannedRun(tuple(ready), min(days), max(days), "", _ASKED_FOR), instance)

    def _publish(self, instance: dg.DagsterInstance) -> None:
        """Publish the chosen tables to each target. Of a table that has just failed, a target gets the rows that are live."""
        for target in sorted({layer for layer, _ in self._dates} - {*LAYERS}):
            keys = tuple(key for key in self._dates if key[0] == target)
            days = [day for key in keys for day in self._dates[key]]
            self._execute(PlannedRun(keys, min(days), max(days), "", _ASKED_FOR), instance)

    def _execute(self, run: PlannedRun, instance: dg.DagsterInstance) -> None:
        if not self._stops:
            job = self._definitions.resolve_job_def(LAKEHOUSE_JOB if run.builds else PUBLISH_JOB)
            execute(job, run, instance, self._settings, self._result, self._tell, fail_fast=self._request.fail_fast)

    def _levels(self, keys: Collection[Key]) -> list[list[Key]]:
        """Return tables in the order of their runs: all in one, which Dagster orders, or if downstream is first, level by level."""
        if not self._request.downstream_first:
            return [sorted(keys)]
        order = TopologicalSorter({key: self._upstream[key] & set(keys) for key in keys})
        order.prepare()
        levels: list[list[Key]] = []
        while order.is_active():
            ready = order.get_ready()
            levels.insert(0, sorted(ready))
            order.done(*ready)
        return levels

    def _build_side_by_side(self, groups: Sequence[list[Key]]) -> None:
        """Build each group in a process of its own, the largest first, as many at a time as the settings say."""
        groups = sorted(groups, key=len, reverse=True)
        with ThreadPoolExecutor(self._settings.lakehouse_parallel_runs, "run") as pool:
            pending = {pool.submit(self._build_in_process, group) for group in groups}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in (f for f in done if not f.cancelled()):
                    self._add(future.result())
                if self._stops:
                    for future in pending:
                        future.cancel()  # those under way end by themselves

    def _build_in_process(self, keys: Sequence[Key]) -> SyncResult:
        """Build some tables by this command in a process of its own."""
        options = ["--order", "downstream-first"] if self._request.downstream_first else []
        options += ["--fail-fast"] if self._request.fail_fast else []
        options += ["--dates", ",".join(map(str, self._request.dates))] if self._request.dates else []
        command = [sys.executable, *_ONE, key_selection(keys), "--json", *options]
        environment = {**os.environ, "LAKEHOUSE_PARALLEL_RUNS": "1"}
        said = ""
        # A file, because a pipe that nobody reads while the process still talks would hold up a long document.
        with tempfile.TemporaryFile("w+") as document:
            process = subprocess.Popen(command, env=environment, stdout=document, stderr=subprocess.PIPE, text=True)
            assert process.stderr is not None
            with process:
                for line in process.stderr:
                    said = line.strip() or said
                    self._tell(line.rstrip())
            document.seek(0)
            printed = document.read()
        try:
            return SyncResult.from_json(json.loads(printed))
        except ValueError:
            error = f"its process ended with {process.returncode}: {said}"
            return SyncResult([BuiltTable(layer, name, 0, 0, 0.0, error) for layer, name in keys])

    def _add(self, other: SyncResult) -> None:
        """Add what another process has done."""
        result = self._result
        result.tables += other.tables
        result.failed_checks += other.failed_checks
        result.runs += other.runs
        for layer, seconds in other.seconds.items():
            result.seconds[layer] = round(result.seconds.get(layer, 0) + seconds, 2)

    def _broken(self) -> dict[Key, tuple[Key, ...]]:
        """Return the tables that have failed so far, or were skipped, each with those that have failed on the way to it."""
        tables = {t.key: t for t in _each_once(self._result.tables)}
        checks = {tuple(check.partition(":")[0].split("/", 1)) for check in self._result.failed_checks}
        broken: dict[Key, tuple[Key, ...]] = {}
        for key in TopologicalSorter(self._upstream).static_order():
            table = tables.get(key)
            causes = _causes(key, self._upstream, broken)
            if table is None:
                was_skipped, has_failed = key in self._dates, False
            else:
                # One step builds all models: what it says of one that reads a failed one is about that one.
                reads_failed = key[0] == "gold" and any(other in broken for other in self._upstream[key])
                was_skipped = table.error == NOT_BUILT or (table.error is not None and reads_failed)
                has_failed = table.error is not None or key in checks
            if was_skipped and causes:
                broken[key] = causes
            elif has_failed and not was_skipped:
                broken[key] = (key,)
        return broken

    def _outcome(self) -> list[BuiltTable]:
        """Return the tables of the request, each after those that it reads, with the reason for each that was skipped."""
        broken, tables = self._broken(), {t.key: t for t in _each_once(self._result.tables)}
        failed = [key for key in broken if broken[key] == (key,)][:1]
        outcome = []
        for key in self._dates:
            table, causes = tables.get(key), broken.get(key, ())
            if causes not in ((), (key,)):
                outcome.append(_skipped(key, causes, f"skipped, because {_listed(causes)} failed"))
            elif table is not None and table.error != NOT_BUILT:
                outcome.append(table)
            elif self._request.fail_fast and failed:
                outcome.append(_skipped(key, failed, f"not begun, because {_listed(failed)} failed"))
            else:
                outcome.append(BuiltTable(*key, 0, 0, 0.0, "not built, because the tables that it reads have never been written"))
        return outcome


def _skipped(key: Key, causes: Iterable[Key], error: str) -> BuiltTable:
    return BuiltTable(*key, 0, 0, 0.0, error, tuple("/".join(cause) for cause in causes))


def _causes(key: Key, upstream: Mapping[Key, Collection[Key]], broken: Mapping[Key, tuple[Key, ...]]) -> tuple[Key, ...]:
    """Return the failed tables on account of which a table can't be built."""
    return tuple(sorted({cause for other in upstream.get(key, ()) for cause in broken.get(other, ())}))


def _listed(keys: Iterable[Key]) -> str:
    return " and ".join("/".join(key) for key in keys)


def _upstream(catalog: Catalog, models: Iterable[Model]) -> dict[Key, set[Key]]:
    """Return what each table reads or waits for."""
    return {
        **{("raw", feed.table): set() for feed in catalog.feeds},
        **{
            ("silver", table.name): {
                *(("raw", feed.table) for feed in table.feeds),
                *(("silver", relation.to_table) for relation in table.contract.waits_for),
            }
            for table in catalog.tables
        },
        **{
            ("gold", model.name): {*(("silver", name) for name in model.sources), *(("gold", name) for name in model.refs)}
            for model in models
        },
    }


def _dates(settings: Settings, catalog: Catalog, models: Mapping[str, Model], request: Request) -> dict[Key, list[date]]:
    """Return the dates of each table of the request. A table that has none, because there is nothing to build it from, is left out."""
    landing, start = Landing(settings.root), settings.lakehouse_start_date
    known: dict[Key, set[date]] = {}
    for layer, name, day in Ledger(settings.root).read(brief=True):
        if day >= start:
            known.setdefault((layer, name), set()).add(day)

    def add_landed() -> None:
        for feed in catalog.feeds:
            if ("raw", feed.table) in request.keys:
                known.setdefault(("raw", feed.table), set()).update(landing.dates(feed.landing, start))

    def add_silver() -> None:
        for table in catalog.tables:
            read = (known.get(("raw", feed.table), set()) for feed in table.feeds)
            known["silver", table.name] = known.get(("silver", table.name), set()).union(*read)

    def add_gold() -> None:
        silver = {name: days for (layer, name), days in known.items() if layer == "silver" and days}
        for name, model in models.items():
            can_be_built = bool(silver) and model.can_be_built(silver)
            known["gold", name] = set().union(*silver.values()) if can_be_built else set()

    steps = [add_landed, add_silver, add_gold]
    for add in reversed(steps) if request.downstream_first else steps:
        add()
    published = [key for key in request.keys if key[0] not in LAYERS]
    known |= {key: known.get((layer, name), set()) for key in published for layer, _, name in [key[1].partition(".")]}
    chosen = [key for key in (*_upstream(catalog, models.values()), *published) if key in request.keys and known.get(key)]
    return {key: sorted(known[key] if request.dates is None else request.dates) for key in chosen}


def _runs(keys: Sequence[Key], dates: Mapping[Key, Sequence[date]], *, exactly: bool) -> Iterator[PlannedRun]:
    """Yield the runs that build some tables, oldest dates first. If not `exactly`, near ranges share a run."""
    days = sorted({day for key in keys for day in dates[key]})
    for first, last in _contiguous(days) if exactly else date_ranges(days):
        chosen = tuple(key for key in keys if any(first <= day <= last for day in dates[key]))
        yield PlannedRun(chosen, first, last, "", _ASKED_FOR)


def _contiguous(days: Sequence[date]) -> list[tuple[date, date]]:
    ranges: list[tuple[date, date]] = []
    for day in days:
        if ranges and day - ranges[-1][1] <= timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def _each_once(tables: Sequence[BuiltTable]) -> list[BuiltTable]:
    """Return each table once, with the seconds of all its runs, and an error if one of these failed."""
    by_key: dict[Key, BuiltTable] = {}
    for table in tables:
        before = by_key.get(table.key, replace(table, seconds=0.0, error=None))
        errors = [error for error in (before.error, table.error) if error is not None]
        error = next((error for error in errors if error != NOT_BUILT), errors[0] if errors else None)
        by_key[table.key] = replace(table, seconds=round(before.seconds + table.seconds, 2), error=error)
    return list(by_key.values())
