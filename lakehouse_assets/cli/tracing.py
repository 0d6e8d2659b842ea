"""Where a row comes from, and what became of one."""

import json
from typing import Annotated

import typer

from lakehouse_assets.cli.options import Json
from lakehouse_assets.cli.output import say
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.cli.rendering import show_trace
from lakehouse_assets.errors import QueryError
from lakehouse_assets.settings import load_catalog, load_settings


def trace(
    table: Annotated[
        str, typer.Argument(metavar="[TABLE]", help="A table of gold or silver, such as gold.fact_sales.", show_default=False)
    ] = "",
    key: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY…]",
            help="Values of the key's columns in their order, or COLUMN=VALUE of any columns.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="A landing file: its name, or its path such as crm/sales/2026-01-31/a.csv.")
    ] = None,
    row: Annotated[int | None, typer.Option(min=1, help="The row in that file: the line on which it starts.")] = None,
    as_json: Json = False,
) -> None:
    """Trace a row back to its file, row and original text: TABLE KEY. Or forward from there: --file F --row N."""
    from lakehouse_assets.serving.trace import trace_key, trace_row

    backward, forward = bool(table and key), file is not None and row is not None
    if backward == forward or (table and file):
        raise QueryError(
            "Name a table and a key, `lakehouse trace gold.fact_sales KEY`, or a file and a row, `lakehouse trace --file F --row N`."
        )
    settings = preflight(load_settings())
    catalog, models = load_catalog(settings), settings.gold_project.models()
    if file is not None and row is not None:
        found = trace_row(settings.root, catalog, models, file, row, say)
    else:
        found = trace_key(settings.root, catalog, models, table, key or [], say)
    if as_json:
        typer.echo(json.dumps(found.to_json(), default=str))
    else:
        show_trace(found)
    if not found.rows and not found.rejected:
        raise typer.Exit(1)
