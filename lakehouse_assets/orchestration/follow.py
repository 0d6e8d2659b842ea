"""A process that stays: it waits for files to land and takes a pass, one after another.

It remembers nothing that counts. Each pass compares landing and tables like any other, so a kill loses nothing: what differs then is
found by whoever comes next. What failed is tried again by the rules of the sensors (`tries.py`); a fault of a whole pass, such as a
store that does not answer, after pauses that grow.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import dagster as dg
import psutil

from lakehouse_assets.alerts.incidents import Found, Incident, Kind, masked
from lakehouse_assets.alerts.rounds import channels, take_round
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import forget_instances
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.hooks.job_parts import keeping_its_parts
from lakehouse_assets.landing.watch import arrivals
from lakehouse_assets.orchestration.alerts import Automation, found_now
from lakehouse_assets.orchestration.in_process import SyncResult, Tell
from lakehouse_assets.orchestration.instance import close_killed_runs
from lakehouse_assets.orchestration.loaded_code import code_state
from lakehouse_assets.orchestration.run_history import purge_runs
from lakehouse_assets.orchestration.sensors import resting_feeds
from lakehouse_assets.orchestration.sync import build
from lakehouse_assets.orchestration.tries import why_waiting
from lakehouse_assets.reconcile.plan import Plan, make_follow_plan
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG, PlannedRun
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import store_error

_LOOK_AGAIN_SECONDS = 15.0
"""How soon a pass follows one after which something failed or waits: whether that may be tried again by then is up to `tries.py`."""

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
"""Seconds until the next pass if one could not be made at all; the pause doubles each time."""

_PURGE_SECONDS = 3_600.0
"""How often old runs are deleted."""

_ALERT_SECONDS = 60.0
"""How often incidents are looked for between passes, if somebody is to be told: reminders, and messages that were not taken."""

_MOST_GROWTH = 1.5
"""How many times what the process held after its first pass it may hold: Sail keeps some of each query, see docs/follow.md."""

_ABORTED = "the process was told to end"


class Ending(StrEnum):
    """Why a process that stayed has ended: a signal, changed code, or memory that grew; after the last two it is to start again."""

    stopped = "stopped"
    changed = "changed"
    grown = "grown"


@dataclass(frozen=True)
class PassReport:
    """One pass: when it began (UTC), how long it took (s), what it did, and why it could not be made, if it could not.

    `number` is that of the manifest that it has published; `files` are the landing files that it found new, changed or gone.
    `memory` is what the process holds afterwards, in bytes.
    """

    began: datetime
    seconds: float
    result: SyncResult
    number: int | None = None
    files: int = 0
    ignored: tuple[tuple[str, str], ...] = ()
    held: tuple[str, ...] = ()
    error: str | None = None
    memory: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the pass could be made and nothing of it failed."""
        return self.error is None and self.result.succeeded

    @property
    def is_worth_a_line(self) -> bool:
        """Whether it did something, or something is wrong."""
        return not self.succeeded or bool(self.result.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            **self.result.to_json(),
            "succeeded": self.succeeded,
            "time": self.began.isoformat(timespec="milliseconds"),
            "took": round(self.seconds, 3),
            "pass": self.number,
            "files": self.files,
            "ignored": [{"path": path, "reason": reason} for path, reason in self.ignored],
            "held": list(self.held),
            "error": self.error,
            "memory": self.memory,
        }

    def sentence(self) -> str:
        """Say in one line what the pass did."""
        if self.error is not None:
            return f"{self.began:%H:%M:%S}  no pass: {self.error}"
        failed = [t for t in self.result.tables if t.error is not None]
        named = f"pass:{self.number}" if self.number is not None else "pass"
        parts = [
            f"{self.files} file{'' if self.files == 1 else 's'}, {len(self.result.tables)} tables in {self.seconds:.1f} s",
            *(f"{t.layer}.{t.table}: {t.error}" for t in failed),
            *(f"check failed: {check}" for check in self.result.failed_checks),
            *self.result.waiting,
        ]
        return f"{self.began:%H:%M:%S}  {named}: " + "; ".join(parts)


class Follower:
    """Takes passes until it is stopped. `stop` ends it after the step in hand.

    `tell` gets warnings, `report` each pass that is worth a line, `progress` what a pass is at.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        stop: threading.Event,
        tell: Tell,
        report: Callable[[PassReport], None],
        progress: Tell = lambda text: None,
    ) -> None:
        self._settings, self._catalog, self._instance = settings, catalog, instance
        self._stop, self._tell, self._report, self._progress = stop, tell, report, progress
        hooks = {_ends_when(stop)}
        self._job_of = cache(lambda name: keeping_its_parts(definitions.resolve_job_def(name).with_hooks(hooks)))
        self._code = code_state(settings)
        self._cursor = ""
        self._next = 0.0
        """When the next pass is due even if nothing lands."""
        self._not_before = 0.0
        """Until when no pass is made, whatever lands."""
        self._listed_all = float("-inf")
        self._held_first, self._has_grown = 0, False
        self._purged = time.monotonic()
        self._pause = _FIRST_PAUSE
        self._ignored: tuple[tuple[str, str], ...] = ()
        self._automation = Automation.of(definitions) if channels(settings) else None
        self._alerted = float("-inf")
        self._failed_pass: tuple[Incident, ...] = ()

    def follow(self) -> Ending:
        """Take a pass now, and again whenever something lands, or after the longest interval. Returns why that ended."""
        has_landed = False
        for arrived in arrivals(self._settings.root, self._settings.lakehouse_follow_list_seconds, self._stop, self._tell):
            has_landed = has_landed or arrived
            now = time.monotonic()
            if self._automation is not None and now - self._alerted >= _ALERT_SECONDS:
                self.alert(self._automation)
            if now < self._not_before or not (has_landed or now >= self._next):
                continue
            if code_state(self._settings) != self._code:
                return Ending.changed
            has_landed = False
            self.take_pass()
            if self._has_grown:
                return Ending.grown
        return Ending.stopped

    def take_pass(self) -> PassReport:
        """Take one pass, report it if it is worth a line, and decide when the next one is due."""
        began, clock = datetime.now(UTC), time.monotonic()
        result = SyncResult()
        plan: Plan | None = None
        error: str | None = None
        self._failed_pass = ()
        try:
            close_killed_runs(self._instance)
            self._delete_old_runs()
            plan = self._plan()
            if not plan.is_empty:
                result = build(
                    self._settings, self._catalog, plan, self._job_of, self._instance, self._progress, self._why_waiting
                )
        except Exception as fault:
            told = store_error(self._settings.root, fault) or fault
            if told is fault and not isinstance(fault, LakehouseError):  # what the store says is not for a log
                logging.getLogger(__name__).warning("A pass could not be made.", exc_info=fault)
            error = " ".join((str(told) if isinstance(told, LakehouseError) else f"{type(told).__name__}: {told}").split())
            # The text of other errors may hold anything.
            what = masked(str(told)) if isinstance(told, LakehouseError) else f"{type(told).__name__}."
            self._failed_pass = (Incident(Kind.no_passes, self._settings.root.uri, what),)
        report = PassReport(
            began,
            time.monotonic() - clock,
            result,
            number=self._published(result),
            files=len(plan.files) if plan else 0,
            ignored=plan.ignored if plan else (),
            held=tuple(delivery.sentence for delivery in plan.held) if plan else (),
            error=error,
            memory=psutil.Process().memory_info().rss,
        )
        forget_instances()
        self._held_first = self._held_first or (report.memory if result.runs else 0)
        self._has_grown = bool(self._held_first) and report.memory > _MOST_GROWTH * self._held_first
        self._schedule(report)
        if report.is_worth_a_line:
            self._report(report)
            self._alerted = float("-inf")
        return report

    def alert(self, automation: Automation) -> None:
        """Look for incidents, and tell of them. That never ends the process: what could not be told now is told later."""
        self._alerted = time.monotonic()
        failed_pass = Found(self._failed_pass, frozenset({Kind.no_passes}))
        try:
            sent = take_round(
                self._settings,
                lambda now: found_now(self._settings, self._catalog, self._instance, automation, now) + failed_pass,
            )
        except Exception as fault:
            logging.getLogger(__name__).warning("Alerts could not be sent.", exc_info=fault)
            return
        for outcome in sent:
            self._tell(outcome.sentence)

    def _plan(self) -> Plan:
        """Compare landing and tables. Where landing has to be listed to see a change, a part of it at a time."""
        settings = self._settings
        is_due = time.monotonic() - self._listed_all >= settings.lakehouse_follow_longest_seconds
        budget = None if settings.root.local_folder is not None or is_due else ScanBudget(self._cursor)
        resting = resting_feeds(self._instance, self._catalog.feeds, settings)
        plan = make_follow_plan(settings, self._catalog, resting, budget)
        if budget is None:
            self._listed_all = time.monotonic()
        self._cursor = plan.next_cursor or self._cursor
        for path, reason in set(plan.ignored) - set(self._ignored):
            self._tell(f"warning: {path} is not loaded: {reason}.")
        self._ignored = plan.ignored if budget is None else tuple({*self._ignored, *plan.ignored})
        return plan

    def _delete_old_runs(self) -> None:
        """Delete Dagster's records of old runs from time to time: thousands of passes a day leave gigabytes."""
        if time.monotonic() - self._purged >= _PURGE_SECONDS:
            self._purged = time.monotonic()
            purge_runs(self._instance, datetime.now(UTC) - timedelta(days=self._settings.lakehouse_keep_runs_days))

    def _why_waiting(self, run: PlannedRun) -> str | None:
        return _ABORTED if self._stop.is_set() else why_waiting(self._instance, run, datetime.now(UTC))

    def _published(self, result: SyncResult) -> int | None:
        """Return the number of the manifest that one of the pass's runs has published."""
        if not any(table.layer == "gold" for table in result.tables):
            return None
        newest = Manifests(self._settings.root).newest()
        return newest.number if newest is not None and newest.run_id in result.runs else None

    def _schedule(self, report: PassReport) -> None:
        now, longest = time.monotonic(), self._settings.lakehouse_follow_longest_seconds
        if report.error is not None:
            self._next = self._not_before = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return
        self._pause, self._not_before = _FIRST_PAUSE, 0.0
        is_open = report.result.waiting or not report.succeeded
        self._next = now + (min(_LOOK_AGAIN_SECONDS, longest) if is_open else longest)


def _ends_when(stop: threading.Event) -> dg.HookDefinition:
    """Return a hook of Dagster that ends the run after a step if `stop` is set."""

    @dg.success_hook(name="ends_when_told_to")
    def _hook(context: dg.HookContext) -> None:
        if stop.is_set():
            # Its difference is tried again by whoever comes next, without a pause.
            context.instance.add_run_tags(context.run_id, {DIFFERENCE_TAG: ""})
            raise dg.DagsterExecutionInterruptedError(_ABORTED)

    return _hook
