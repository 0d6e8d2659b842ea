"""What keeps the lakehouse small."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from lakehouse_assets.cli.output import say
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.settings import Settings, load_settings
from lakehouse_assets.store.errors import explained


def maintain(
    keep_days: Annotated[
        int, typer.Option(min=1, help="Keep files this many days after they left a table: queries and runs may still read them.")
    ] = 7,
) -> None:
    """Compact small files, delete unreferenced ones, shorten logs, delete old runs. Needs the right to delete."""
    from lakehouse_assets.upkeep.maintain import maintain as run

    settings = preflight(load_settings())
    try:
        with explained(settings.root, "delete"):
            for table in run(settings.root, timedelta(days=keep_days)):
                say(
                    f"{table.name}: {table.files_before} files compacted to {table.files_after}; {table.deleted} old ones deleted"
                )
    finally:
        _delete_old_runs(settings)


def _delete_old_runs(settings: Settings) -> None:
    from lakehouse_assets.orchestration.instance import open_instance
    from lakehouse_assets.orchestration.run_history import purge_runs

    days = settings.lakehouse_keep_runs_days
    with open_instance(settings.dagster_home, settings.root) as instance:
        purged = purge_runs(instance, datetime.now(UTC) - timedelta(days=days))
    say(f"Dagster: {purged.runs} runs older than {days} days deleted, and the logs of {purged.logs} that assets still need")
