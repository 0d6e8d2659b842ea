"""All commands on one page, and the way in."""

import gc
import os
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from lakehouse_assets.cli.alerts import alerts
from lakehouse_assets.cli.check import check
from lakehouse_assets.cli.dashboard import dashboard
from lakehouse_assets.cli.generated import compare, generate, produce
from lakehouse_assets.cli.landing import accept, drain, land
from lakehouse_assets.cli.output import print_error
from lakehouse_assets.cli.passes import demo, plan, run, sync
from lakehouse_assets.cli.projects import init, new_source
from lakehouse_assets.cli.reading import quarantine, query
from lakehouse_assets.cli.services import services
from lakehouse_assets.cli.status import status, table
from lakehouse_assets.cli.tracing import trace
from lakehouse_assets.cli.upkeep import maintain
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.hooks.process_end import end_process
from lakehouse_assets.settings import load_settings
from lakehouse_assets.store.errors import store_error

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="A retail lakehouse: from files as they arrive to a star schema, with every row accounted for.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lakehouse {version('lakehouse-assets')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; so does the variable NO_COLOR.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of all commands."""
    if no_color or os.environ.get("NO_COLOR"):
        os.environ["NO_COLOR"] = "1"  # where rich looks
        context.color = False


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Build tables": (demo, plan, sync, run),
    "Read tables": (status, table, query, trace, quarantine, dashboard),
    "Land data": (land, drain, accept),
    "Declare and maintain": (check, init, new_source, maintain),
    "Made-up data": (generate, compare, produce),
}
"""The commands, by the heading under which `lakehouse --help` lists them. The name of a function is that of its command."""

for _panel, _functions in _COMMANDS.items():
    for _function in _functions:
        # A key may be negative, such as that of an unknown member.
        _settings = {"ignore_unknown_options": True} if _function is trace else None
        app.command(rich_help_panel=_panel, context_settings=_settings)(_function)
app.add_typer(alerts, name="alerts", rich_help_panel="Declare and maintain")
app.add_typer(services, name="services", rich_help_panel="Declare and maintain")

_COLLECTED_AFTER = 100_000
"""Python looks for garbage in cycles after so many new objects. After 700, the default, takes 5 % of a pass."""


def main() -> NoReturn:
    """Run the command line. Errors that a user can fix become one sentence and exit code 1."""
    gc.set_threshold(_COLLECTED_AFTER)
    code: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except LakehouseError as error:
        code = print_error(error)
    except Exception as error:
        reported = store_error(load_settings().root, error)
        if reported is None:
            raise
        code = print_error(reported)
    end_process(code if isinstance(code, int) else int(code is not None))
