"""Executes a planned run in this process, and says what became of each of its tables."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

import dagster as dg

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.hooks.names import EVENT_STORAGE
from lakehouse_assets.orchestration.instance import PROCESS_TAG, process_tag
from lakehouse_assets.orchestration.sensors import run_tags
from lakehouse_assets.reconcile.runs import PlannedRun
from lakehouse_assets.settings import Settings

NOT_BUILT = "not built, because a table that it reads failed"

_PROGRESS_SECONDS = 0.5
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_READ = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
"""The events of a run that say what became of its tables. Most others are of single dates, and each is slow to read."""

_COLOUR = r"(?:\x1b\[\d*m)?"
_NESTED = re.compile(rf"\s*\n\s*{_COLOUR}↳{_COLOUR}\s*")

Tell = Callable[[str], None]


class StepDone(str):
    """A line of progress: a step of a run has succeeded, the `done`-th of `total`."""

    def __new__(cls, step: str, done: int, total: int) -> "StepDone":
        """Make the line."""
        line = super().__new__(cls, f"  {step} ({done} of {total})")
        line.step, line.done, line.total = step, done, total
        return line

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class BuiltTable:
    """A table that was built or was to be built: live rows, rows in quarantine, and seconds.

    One step builds all gold tables, and one publishes all tables to a target; each shows the time of that step. `skipped_because` are
    the tables, as `layer/name`, on account of which it was not tried.
    """

    layer: str
    table: str
    rows: int
    quarantined: int
    seconds: float
    error: str | None = None
    skipped_because: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """The asset's key."""
        return self.layer, self.table


@dataclass
class SyncResult:
    """What a pass or run did. `seconds` is the time spent in the steps of each layer, including checks.

    `waiting` says which runs were not begun, because they are to be tried later or once something changes.
    """

    tables: list[BuiltTable] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether every table was built and every blocking check passed."""
        return not self.failed_checks and all(t.error is None for t in self.tables)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {"succeeded": self.succeeded, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SyncResult":
        """Make a result from what `to_json` returns."""
        tables = [BuiltTable(**{**table, "skipped_because": tuple(table["skipped_because"])}) for table in values["tables"]]
        return cls(tables, values["failed_checks"], values["runs"], values["seconds"], values["waiting"])


@dataclass
class _Steps:
    """What a run's events say about its steps."""

    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)
    materialized: set[tuple[str, ...]] = field(default_factory=set)


def execute(
    job: dg.JobDefinition,
    run: PlannedRun,
    instance: dg.DagsterInstance,
    settings: Settings,
    result: SyncResult,
    tell: Tell,
    *,
    fail_fast: bool = False,
) -> None:
    """Execute one run in this process, and add its outcome to `result`.

    After a step that fails, the steps that don't depend on it still run, unless the run is to `fail_fast`.
    """
    layers = " and ".join(dict.fromkeys(layer for layer, _ in run.keys))
    does = f"Building {layers} for {run.start}" + (f" to {run.end}" if run.end != run.start else "")
    tell(f"{does if run.builds else f'Publishing to {layers}'}: {len(run.keys)} tables")
    run_id = str(uuid4())
    step_count = len({_step(run, key) for key in run.keys})
    with (
        _report_progress(instance, run_id, tell, step_count),
        _in_batches(instance),
        suppress(Exception) if fail_fast else nullcontext(),
    ):
        job.execute_in_process(
            run_id=run_id,
            run_config=_QUIET,
            instance=instance,
            asset_selection=[dg.AssetKey(list(key)) for key in run.keys],
            tags={**run_tags(run), PROCESS_TAG: process_tag()},
            raise_on_error=fail_fast,
        )
    steps = _read_steps(instance, run_id, with_materialized=not run.builds)
    result.runs.append(run_id)
    result.failed_checks += steps.failed_checks
    for step, seconds in steps.seconds.items():
        layer = step.split("__")[0]
        result.seconds[layer] = round(result.seconds.get(layer, 0) + seconds, 2)
    result.tables += _built_tables(run, run_id, settings, steps)


def _built_tables(run: PlannedRun, run_id: str, settings: Settings, steps: _Steps) -> list[BuiltTable]:
    """Return what a run did to each of its tables, from the ledger and the run's steps."""
    records = Ledger(settings.root).read(brief=True)
    built = []
    for key in run.keys:
        layer, table = key
        step = _step(run, key)
        shares_step = step == layer
        source = (layer, table) if run.builds else tuple(table.split(".", 1))
        table_records = [r for of, r in records.items() if of[:2] == source]
        error = steps.errors.get(step)
        if step not in steps.seconds:
            error = NOT_BUILT
        elif shares_step and error is not None:
            # The step may have failed for other models.
            own_lines = [line for line in error.splitlines() if line.startswith((f"{layer}/{table}:", f"{layer}/{table} "))]
            is_published = any(r.run_id == run_id for r in table_records) if run.builds else key in steps.materialized
            error = None if is_published else " ".join(own_lines) or error
        rows = sum(r.rows_out for r in table_records)
        quarantined = sum(r.rows_quarantined for r in table_records) if run.builds else 0
        built.append(BuiltTable(layer, table, rows, quarantined, steps.seconds.get(step, 0.0), error))
    return built


def _step(run: PlannedRun, key: tuple[str, str]) -> str:
    """The step that builds a table: one builds all of gold, and one publishes all tables to a target."""
    layer, table = key
    return layer if layer == "gold" or not run.builds else f"{layer}__{table}"


def _read_steps(instance: dg.DagsterInstance, run_id: str, *, with_materialized: bool) -> _Steps:
    """Read durations, errors and failed checks from a run's events, and which assets it materialized if that is wanted."""
    steps = _Steps()
    began: dict[str, float] = {}
    for entry in instance.all_logs(run_id, _READ | ({dg.DagsterEventType.ASSET_MATERIALIZATION} if with_materialized else set())):
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.is_step_materialization and event.asset_key is not None:
            steps.materialized.add(tuple(event.asset_key.path))
        if event.is_step_start:
            began[event.step_key] = entry.timestamp
        if event.is_step_failure:
            steps.errors[event.step_key] = _message(event.step_failure_data)
        if event.is_step_success or event.is_step_failure:
            steps.seconds[event.step_key] = round(entry.timestamp - began.get(event.step_key, entry.timestamp), 2)
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                steps.failed_checks.append(
                    f"{check.asset_key.to_user_string()}: {check.check_name} {check.description or ''}".strip()
                )
    return steps


def _in_batches(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """Store events together, if the event storage of this project can be used."""
    if not EVENT_STORAGE.is_usable:
        return nullcontext()
    from lakehouse_assets.hooks.event_storage import events_in_batches

    return events_in_batches(instance)


@contextmanager
def _report_progress(instance: dg.DagsterInstance, run_id: str, tell: Tell, steps: int) -> Iterator[None]:
    """Report each table once its step succeeds, while the run goes on, and how many of its `steps` are done."""
    done = threading.Event()

    def watch() -> None:
        cursor, count = None, 0
        is_last = False
        while not is_last:
            is_last = done.wait(_PROGRESS_SECONDS)
            new = instance.get_records_for_run(run_id, cursor, of_type=dg.DagsterEventType.STEP_SUCCESS)
            cursor = new.cursor
            for record in new.records:
                step = record.event_log_entry.step_key or ""
                if step.count("__") <= 1:
                    count += 1
                    tell(StepDone(step.replace("__", "."), count, steps))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _message(failure: Any) -> str:
    """Return why a step failed: the message of an error meant for users, or else the first line of the innermost error."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error.cause is not None:
        error = error.cause
    name, _, sentence = error.message.strip().partition(": ")
    user_errors = {cls.__name__ for cls in _subclasses(LakehouseError)}
    if name.rpartition(".")[2] in user_errors:
        return str(sentence)
    # A Rust library reports a chain of causes, the general one first, each in its own line and colour.
    return str(_NESTED.sub(": ", error.message.strip()).splitlines()[0])


def _subclasses(cls: type) -> Sequence[type]:
    """Return the class and all its subclasses."""
    return [cls, *(nested for sub in cls.__subclasses__() for nested in _subclasses(sub))]
