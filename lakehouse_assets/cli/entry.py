"""All commands on one page, and the way in."""

import gc
from collections.abc import Callable
from typing import NoReturn

import typer

from lakehouse_assets.cli.check import check
from lakehouse_assets.cli.dashboard import dashboard
from lakehouse_assets.cli.generated import compare, generate, produce
from lakehouse_assets.cli.landing import accept, drain, land
from lakehouse_assets.cli.output import print_error
from lakehouse_assets.cli.passes import demo, plan, run, sync
from lakehouse_assets.cli.projects import init, new_source
from lakehouse_assets.cli.reading import quarantine, query
from lakehouse_assets.cli.services import services
from lakehouse_assets.cli.upkeep import maintain
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.hooks.process_end import end_process
from lakehouse_assets.settings import load_settings
from lakehouse_assets.store.errors import store_error

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A retail lakehouse: from files as they arrive to a star schema, with every row accounted for.",
)

_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Build tables": (demo, plan, sync, run),
    "Read tables": (query, quarantine, dashboard),
    "Land data": (land, drain, accept),
    "Declare and maintain": (check, init, new_source, maintain),
    "Made-up data": (generate, compare, produce),
}
"""The commands, by the heading under which `lakehouse --help` lists them. The name of a function is that of its command."""

for _panel, _functions in _COMMANDS.items():
    for _function in _functions:
        app.command(rich_help_panel=_panel)(_function)
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
