"""How the lakehouse stands, and all about one table."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from lakehouse_assets.cli.options import Json
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.cli.rendering import show_status, show_table
from lakehouse_assets.settings import load_catalog, load_settings


def status(
    tables: Annotated[
        bool, typer.Option("--tables", help="List every table, not only each system and what needs a look.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how the lakehouse stands, on one screen: tables, freshness, the last run, quarantine, what is due. Changes nothing."""
    from lakehouse_assets.reconcile.plan import make_plan
    from lakehouse_assets.reconcile.status import status as found

    settings, now = preflight(load_settings()), datetime.now(UTC)
    catalog = load_catalog(settings)
    state = found(settings, catalog, make_plan(settings, catalog, now=now), now)
    if as_json:
        typer.echo(json.dumps(state.to_json()))
    else:
        show_status(state, every_table=tables)


def table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as gold.fact_sales, silver.crm_sales, or crm_sales.")],
    dates: Annotated[int, typer.Option(min=0, help="How many partitions to show, newest first.")] = 7,
    sample: Annotated[int, typer.Option(min=0, help="How many rows to show. Personal columns are masked.")] = 5,
    as_json: Json = False,
) -> None:
    """Show all about a table: columns, contract, partitions with their row accounts, versions, a sample."""
    from lakehouse_assets.serving.table_details import table_details

    settings = preflight(load_settings())
    catalog, project = load_catalog(settings), settings.gold_project
    manifest = project.manifest()
    details = table_details(settings.root, catalog, project.models_of(manifest), manifest, name, dates, sample)
    if as_json:
        typer.echo(json.dumps(details.to_json()))
    else:
        show_table(details)
