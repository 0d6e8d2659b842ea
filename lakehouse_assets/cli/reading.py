"""What reads tables and changes nothing: queries, and the rows in quarantine."""

import json
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse_assets.cli.options import Json, range_of
from lakehouse_assets.cli.output import say, width
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.errors import QueryError
from lakehouse_assets.settings import Settings, load_settings
from lakehouse_assets.store.errors import unquoted

if TYPE_CHECKING:
    from lakehouse_assets.serving.changes import Changes


class Format(StrEnum):
    """How `query` shows its result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


class Stage(StrEnum):
    """A layer that sends rows to quarantine."""

    raw = "raw"
    silver = "silver"


def query(
    sql: Annotated[
        str,
        typer.Argument(help="One SELECT over the schemas raw, silver, gold, quarantine, superseded, ops.", show_default=False),
    ] = "",
    output: Annotated[Format, typer.Option("--format", help="How to show the result.")] = Format.table,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="V|T|PASS", help="The state of a version (12), a date or time (2026-01-31T14:30), or a pass (pass:7)."
        ),
    ] = None,
    changes: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="What changed in a table, such as gold.dim_customer; SQL may read it as ops.changes."),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="For --changes: two states as of --as-of; by default the last two versions."),
    ] = None,
) -> None:
    """Query the tables in DuckDB's SQL. Read-only: no files, no network."""
    import duckdb

    from lakehouse_assets.serving import query as serving
    from lakehouse_assets.serving.versions import parse_as_of

    settings = load_settings()
    wanted = _changes(settings, changes, between)
    if not sql and wanted is None:
        raise QueryError('Write a query, such as "FROM gold.sales_performance", or name a table with --changes.')
    dated = parse_as_of(as_of, settings.lakehouse_timezone) if as_of else None
    root = preflight(settings).root
    result = serving.query(root, sql or "FROM ops.changes", dated, wanted, say)
    try:
        if output is Format.table:
            result.show(max_rows=1000, max_width=width())
        elif output is Format.parquet:
            if sys.stdout.isatty():
                raise QueryError(
                    "Parquet is binary: redirect it to a file, `lakehouse query … --format parquet > result.parquet`."
                )
            import pyarrow.parquet

            pyarrow.parquet.write_table(result.to_arrow_table(), sys.stdout.buffer)
        elif output is Format.csv:
            serving.write_csv(result, sys.stdout)
        else:
            typer.echo(json.dumps(serving.as_json(result)))
    except duckdb.Error as error:
        raise QueryError(unquoted(root, str(error))) from None


def _changes(settings: Settings, table: str | None, between: str | None) -> "Changes | None":
    """Return what `--changes` and `--between` ask for, with the key of the table."""
    from lakehouse_assets.serving.changes import key_of, parse_changes
    from lakehouse_assets.systems import catalog

    if table is None:
        if between is not None:
            raise QueryError("--between belongs to --changes TABLE, which names the table whose states are compared.")
        return None
    parsed = parse_changes(table, between, settings.lakehouse_timezone)
    dbt_manifest = settings.gold_project.manifest() if parsed.layer == "gold" else {}
    return replace(parsed, key=key_of(parsed.layer, parsed.name, catalog(settings.system_packages), dbt_manifest))


def quarantine(
    layer: Annotated[Stage | None, typer.Option(help="Only rows rejected by this layer.")] = None,
    table: Annotated[str | None, typer.Option(help="Only this table, such as crm_customers.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="Only this landing date, YYYY-MM-DD.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="Only this landing date and later ones.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Only this landing date and earlier ones.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that broke this rule.")] = None,
    file: Annotated[str | None, typer.Option(help="Only rows of landing files of this name.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="How many rows of each kind to show.")] = 3,
    export: Annotated[
        Path | None, typer.Option(help="Write all rows to this file instead: .csv, .parquet or .json.", dir_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --export overwrite a file.")] = False,
    as_json: Json = False,
) -> None:
    """Show the rejected rows: reasons, counts, samples. Or export all of them to a file."""
    from lakehouse_assets.serving import quarantine as serving
    from lakehouse_assets.systems import catalog

    begin, end = range_of(day, first, last)
    choice = serving.Choice(layer=layer, table=table, first=begin, last=end, rule=rule, file=file)
    settings = preflight(load_settings())
    root, declared = settings.root, catalog(settings.system_packages)
    if export is not None:
        rows = serving.export(root, declared, choice, export, overwrite=force)
        say(f"{rows} rows are in {export}.")
        if as_json:
            typer.echo(json.dumps({"file": str(export), "rows": rows}))
        return
    groups = serving.quarantined(root, declared, choice, samples)
    if as_json:
        typer.echo(json.dumps(groups, default=str))
        return
    if not groups:
        say("The quarantine is empty." if choice == serving.Choice() else "No such row is in quarantine.")
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table("table", "date", "rule", "reason", "rows", "file", "row", "original text")
    nothing: dict[str, Any] = {"source_file": "", "row_number": None, "item_number": 0, "payload": None}
    for group in groups:
        for index, sample in enumerate(group["samples"] or [nothing]):
            first_cells = [
                f"{group['layer']}.{group['table_name']}",
                str(group["date"]),
                group["rule"],
                group["reason"],
                str(group["rows"]),
            ]
            shown.add_row(
                *(first_cells if index == 0 else [""] * 5),
                sample["source_file"],
                str(sample["row_number"] or "") + (f", item {sample['item_number']}" if sample["item_number"] else ""),
                (sample["payload"] or "")[:120],
            )
    Console(width=width()).print(shown)
