"""How plans and results of passes are shown."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from lakehouse_assets.cli.output import say, width
from lakehouse_assets.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from lakehouse_assets.orchestration.in_process import SyncResult
    from lakehouse_assets.orchestration.trial import Trial
    from lakehouse_assets.reconcile.plan import Plan
    from lakehouse_assets.reconcile.status import Status, TableStatus
    from lakehouse_assets.serving.table_details import TableDetails
    from lakehouse_assets.serving.trace import Origin, Trace, Traced

_SHOWN_DELIVERIES = 5


def show_plan(settings: Settings, planned: "Plan") -> None:
    """Show what a pass would do, and what it would not load."""
    if planned.is_empty:
        say_nothing_to_do(settings)
    for path, reason in planned.ignored:
        say(f"not loaded: {path}: {reason}")
    for delivery in planned.held:
        say(f"held back: {delivery.sentence}")
    show_arrivals(planned)
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


def show_arrivals(planned: "Plan") -> None:
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


def show_trace(trace: "Trace") -> None:
    """Show where rows come from, and what became of them: indented, each step below the one that it leads to."""
    if trace.origin is not None:
        _show_origin(trace.origin, 0)
    for row in trace.rows:
        _show_traced(row, 0)
    for entry in trace.rejected:
        place = f"{entry.file}, row {entry.row}" if entry.row is not None else entry.file
        typer.echo(f"quarantine of {entry.layer}.{entry.table}: {place}")
        typer.echo(f"  {entry.rule}: {entry.reason}")
        if entry.text:
            typer.echo(f"  text: {_one_line(entry.text[:_LONGEST_TEXT])}")
    if trace.missing is not None:
        say(trace.missing)


_LONGEST_TEXT = 500


def _show_traced(row: "Traced", depth: int) -> None:
    indent = "  " * depth
    typer.secho(f"{indent}{row.layer}.{row.table}{'' if row.state == 'live' else f' ({row.state})'}", bold=True)
    typer.echo(f"{indent}  {_shown_values(row.values)}")
    if row.rules_broken:
        typer.secho(f"{indent}  rules broken: {', '.join(row.rules_broken)}", fg="yellow")
    if row.rules_met:
        typer.echo(f"{indent}  rules met: {', '.join(row.rules_met)}")
    if row.origin is not None:
        _show_origin(row.origin, depth + 1)
    for rival in row.rivals:
        _show_traced(rival, depth + 1)
    for other in row.made_of:
        _show_traced(other, depth + 1)
    for name in row.cut:
        typer.echo(f"{indent}  … and more rows of {name}")


def _show_origin(origin: "Origin", depth: int) -> None:
    indent, item = "  " * depth, f", item {origin.item}" if origin.item else ""
    typer.secho(f"{indent}landing/{origin.file}, row {origin.row}{item}", fg="cyan")
    if origin.text is not None:
        typer.echo(f"{indent}  text: {_shown_values(origin.text)}")


def _shown_values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_one_line(str(value))}" for name, value in values.items() if value is not None)


def _one_line(text: str) -> str:
    """A text as one line, which a person can copy."""
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


_MOST_NAMED = 5
"""So many of what needs a look are named on the screen; a command lists all."""


def show_status(state: "Status", *, every_table: bool) -> None:
    """Show how the lakehouse stands, on one screen unless every table is wanted."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=width())
    typer.echo(f"{state.root}, {state.as_of:%Y-%m-%d %H:%M} UTC")
    _show_last_run(state)
    if not state.tables:
        say("No table has been built yet. `lakehouse sync` builds what has landed.")
    else:
        shown = Table("layer", "table" if every_table else "tables of", *_STATUS_COLUMNS[every_table:], title="Tables")
        groups: dict[tuple[str, str], list[TableStatus]] = {}
        for table in state.tables:
            groups.setdefault((table.layer, table.table if every_table else table.group), []).append(table)
        for (layer, name), tables in groups.items():
            count = [] if every_table else [str(len(tables))]
            shown.add_row(layer, name, *count, *_status_cells(tables, state.as_of))
        console.print(shown)
    _show_what_needs_a_look(state)


_STATUS_COLUMNS = ("tables", "rows", "newest", "built", "quarantined", "due", "state")


def _status_cells(tables: "Sequence[TableStatus]", now: datetime) -> list[str]:
    """The cells of some tables together: rows, newest date, last build, rows in quarantine, dates that are due, state."""
    newest = max((t.newest for t in tables if t.newest), default=None)
    built = max((t.built_at for t in tables if t.built_at), default=None)
    quarantined, due = sum(t.quarantined for t in tables), sum(t.due for t in tables)
    counts = {
        "failed": sum(t.status == "failed" for t in tables),
        "skipped": sum(t.status == "skipped" for t in tables),
        "stale": sum(t.is_stale for t in tables),
        "due": sum(t.due > 0 for t in tables),
    }
    bad = [f"{count} {what}" if len(tables) > 1 else what for what, count in counts.items() if count]
    return [
        f"{sum(t.rows for t in tables):,}",
        str(newest or ""),
        _ago(built, now) if built else "",
        f"{quarantined:,}" if quarantined else "",
        str(due) if due else "",
        f"[red]{', '.join(bad)}[/]" if counts["failed"] else f"[yellow]{', '.join(bad)}[/]" if bad else "[green]ok[/]",
    ]


def _ago(moment: datetime, now: datetime) -> str:
    """How long ago something was, as a person says it."""
    seconds = max((now - moment).total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def _show_last_run(state: "Status") -> None:
    run = state.last_run
    if run is None:
        typer.echo("Last run: none is recorded.")
        return
    ended = datetime.fromisoformat(run["ended"])
    failed = f", {run['failed']} failed" if run["failed"] else ""
    skipped = f", {run['skipped']} skipped" if run["skipped"] else ""
    number = f"; gold is that of pass {state.last_pass}" if state.last_pass is not None else ""
    built = f"{run['built']} tables built{failed}{skipped}{number}"
    typer.echo(f"Last run: {run['run_id'][:8]}, {_ago(ended, state.as_of)}, {run['seconds']} s: {built}.")


def _show_what_needs_a_look(state: "Status") -> None:
    """Show failures, what is stale, outstanding or due, and the quarantine: each with the command that tells more."""
    for table in state.failed[:_MOST_NAMED]:
        typer.secho(f"failed: {table.layer}.{table.table}: {table.error}", fg="red")
    for table in [t for t in state.tables if t.is_stale][:_MOST_NAMED]:
        typer.secho(f"stale: {table.layer}.{table.table}: its newest rows are of {table.newest or 'no date'}.", fg="yellow")
    show_arrivals(state.plan)
    for path, reason in state.plan.ignored[:_MOST_NAMED]:
        typer.echo(f"not loaded: {path}: {reason}")
    for delivery in state.plan.held:
        typer.echo(f"held back: {delivery.sentence}")
    if state.quarantine:
        typer.echo("In quarantine, newest first; `lakehouse quarantine` shows the rows:")
        for kind in state.quarantine:
            rows = f"{kind['rows']:,} row{'s' * (kind['rows'] > 1)}"
            typer.echo(f"  {kind['layer']}.{kind['table_name']}, {kind['rule']}: {rows}, the newest of {kind['newest']}")
    if state.plan.is_empty:
        typer.echo("Due: nothing. All tables are up to date with landing.")
    else:
        tables, files = len(state.plan.tables), len(state.plan.files)
        typer.echo(
            f"Due: {tables} tables, {files} new or changed files. `lakehouse plan` lists them, `lakehouse sync` builds them."
        )


def show_table(details: "TableDetails") -> None:
    """Show all about a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=width())
    typer.secho(f"{details.layer}.{details.name}", bold=True)
    typer.echo(details.description)
    for title, text in details.facts.items():
        typer.echo(f"  {title}: {text}")
    typer.echo(f"  stored: {details.rows:,} rows in {details.files:,} files, {details.bytes:,} bytes")
    columns = Table("column", "type", "personal", "description", title="Columns")
    for column in details.columns:
        columns.add_row(column.name, column.type, "yes" if column.personal else "", escape(column.description))
    console.print(columns)
    if details.rules:
        rules = Table("rule", "outcome", "expects", title="Contract" if details.layer == "silver" else "Tests")
        for rule in details.rules:
            rules.add_row(*map(escape, rule))
        console.print(rules)
    if details.partitions:
        title = f"Partitions: {len(details.partitions)} of {details.partition_count}, newest first"
        console.print(_rows_table(details.partitions, title))
    if details.versions:
        console.print(_rows_table(details.versions, "Versions, newest first"))
    if details.sample:
        # A row of many columns is read from top to bottom.
        rows = Table("column", *(f"row {n}" for n in range(1, len(details.sample) + 1)), title="Sample, personal columns masked")
        for name in details.sample[0]:
            rows.add_row(name, *(escape(_cell(name, row[name])) for row in details.sample))
        console.print(rows)


def _rows_table(rows: Sequence[Mapping[str, object]], title: str) -> "Table":
    """A table of rows that all have the same columns; run ids are shortened."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(*rows[0], title=title)
    for row in rows:
        shown.add_row(*(escape(_cell(name, value)) for name, value in row.items()))
    return shown


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and not name.endswith(("_key", "_id")):
        return f"{value:,}"
    return str(value)[:8] if name == "run_id" else str(value)
