"""How plans and results of passes are shown."""

import json
from typing import TYPE_CHECKING

import typer

from lakehouse_assets.cli.output import say, width
from lakehouse_assets.settings import Settings

if TYPE_CHECKING:
    from lakehouse_assets.orchestration.in_process import SyncResult
    from lakehouse_assets.orchestration.trial import Trial
    from lakehouse_assets.reconcile.plan import Plan

_SHOWN_DELIVERIES = 5


def show_plan(settings: Settings, planned: "Plan") -> None:
    """Show what a pass would do, and what it would not load."""
    if planned.is_empty:
        say_nothing_to_do(settings)
    for path, reason in planned.ignored:
        say(f"not loaded: {path}: {reason}")
    for delivery in planned.held:
        say(f"held back: {delivery.sentence}")
    _show_arrivals(planned)
    if planned.is_empty:
        return
    if planned.rebuilt:
        say(planned.rebuilt)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from lakehouse_assets.landing.objects import shown

    console = Console(width=width())
    files = Table("file", "table", "date", "change", "bytes", "schema", title="Files")
    for f in planned.files:
        schema = [f"new {c}" for c in f.new_columns] + [f"lacks {c}" for c in f.missing_columns]
        files.add_row(escape(shown(f.name)), f.table, str(f.date), f.change, f"{f.bytes:,}", ", ".join(schema))
    tables = Table("layer", "table", "partitions", "from", "to", title="Tables")
    for t in planned.tables:
        tables.add_row(t.layer, t.table, str(len(t.dates)), str(t.dates[0]), str(t.dates[-1]))
    if planned.files:
        console.print(files)
    console.print(tables)


def show_trial(trial: "Trial", *, as_json: bool) -> None:
    """Show how tables that the current code has built on the side differ from those that are live."""
    if as_json:
        typer.echo(json.dumps(trial.to_json()))
    for error in () if as_json else trial.errors:
        say(f"not compared: {error}")
    differing = [t for t in trial.tables if t.differs]
    if not as_json and differing:
        from rich.console import Console
        from rich.table import Table

        rows = Table("table", "added", "gone", "changed", "columns that change", title="Rows that would differ")
        totals = Table("amount", "live", "would be", "moves by", title="Totals that would move")
        for t in differing:
            columns = {"live": "the table would be gone", "trial": "a new table"}.get(t.only or "") or ", ".join(
                f"{name} ({count:,})" for name, count in t.columns.items()
            )
            rows.add_row(f"{t.layer}.{t.table}", f"{t.added:,}", f"{t.gone:,}", f"{t.changed:,}", columns)
            for name, (was, now) in t.totals.items():
                shown = ["-" if value is None else f"{value:,.2f}" for value in (was, now)]
                totals.add_row(f"{t.layer}.{t.table}.{name}", *shown, f"{(now or 0) - (was or 0):+,.2f}")
        console = Console(width=width())
        console.print(rows)
        if totals.row_count:
            console.print(totals)
    if not differing:
        say(f"No row would differ: {len(trial.tables)} tables were compared.")


def _show_arrivals(planned: "Plan") -> None:
    """Answer whether everything has arrived, if a feed says what is to arrive. Of each feed and state, show the newest."""
    found = planned.arrivals
    if found is None or not found.feeds:
        return
    if found.complete:
        say(f"Everything has arrived, as of {found.as_of:%Y-%m-%d %H:%M} UTC: {', '.join(found.feeds)}.")
    kinds: dict[tuple[str, str], list[str]] = {}
    for delivery in reversed(found.outstanding):
        kinds.setdefault((delivery.feed, delivery.state), []).append(delivery.sentence)
    for (feed, state), sentences in sorted(kinds.items()):
        for sentence in sentences[:_SHOWN_DELIVERIES]:
            say(f"{state}: {sentence}")
        if len(sentences) > _SHOWN_DELIVERIES:
            say(f"{state}: {feed}, and {len(sentences) - _SHOWN_DELIVERIES} earlier ones; `lakehouse plan --json` lists all.")


def show_result(result: "SyncResult") -> None:
    """Show what a pass has built."""
    from rich.console import Console
    from rich.table import Table

    shown = Table("table", "rows", "quarantined", "seconds", "")
    for t in result.tables:
        shown.add_row(
            f"{t.layer}.{t.table}",
            f"{t.rows:,}",
            f"{t.quarantined:,}" if t.quarantined else "",
            f"{t.seconds:.2f}",
            t.error or "",
        )
    Console(width=width()).print(shown)
    for failed in result.failed_checks:
        say(f"check failed: {failed}")


def show_skipped(result: "SyncResult") -> None:
    """Say for each table that failed which others were skipped because of it."""
    by_cause: dict[str, list[str]] = {}
    for table in result.tables:
        for cause in table.skipped_because:
            by_cause.setdefault(cause, []).append(f"{table.layer}/{table.table}")
    for cause, skipped in by_cause.items():
        say(f"Because {cause} failed, {len(skipped)} skipped: {', '.join(skipped)}.")


def say_nothing_to_do(settings: Settings) -> None:
    """Say that there is nothing to do. If landing is empty, name it: the root may be the wrong one."""
    from lakehouse_assets.landing.store import landing_store

    if landing_store(settings.root).folders("landing/"):
        say("Nothing to do: all tables are up to date with landing.")
    else:
        say(f"Nothing to do: nothing has landed in {settings.root.path('landing')}.")
