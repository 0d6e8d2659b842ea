"""An object store, Kafka and PostgreSQL on this machine."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse_assets.cli.output import say, width
from lakehouse_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse_assets.services.stack import Stack

services = typer.Typer(no_args_is_help=True, help="Run an object store, Kafka and PostgreSQL on this machine, without Docker.")


class Store(StrEnum):
    """Which object store `services` runs."""

    minio = "minio"
    versitygw = "versitygw"


@services.command("up")
def services_up(
    store: Annotated[Store | None, typer.Option(help="Which object store. Default: the one used before, or MinIO.")] = None,
) -> None:
    """Start the services that don't run. Programs that the machine lacks are built or downloaded once."""
    _stack(load_settings()).up(say, store.value if store else None)
    say("To use them: `lakehouse services env >> .env`. Without `>> .env`, it only shows the settings.")


@services.command("down")
def services_down() -> None:
    """Stop the services. Their data is kept."""
    _stack(load_settings()).down(say)


@services.command("status")
def services_status() -> None:
    """Show whether the services run and answer. Exit code 1 if one does not."""
    from rich.console import Console
    from rich.table import Table

    services = _stack(load_settings()).status()
    shown = Table("service", "state", "address", "process", "log")
    for s in services:
        shown.add_row(s.name, s.state, s.address, str(s.pid or ""), str(s.log))
    Console(width=width()).print(shown)
    if not services or any(s.state != "running" for s in services):
        raise typer.Exit(1)


@services.command("env")
def services_env() -> None:
    """Print the settings to use the services, as KEY=value lines. They include passwords."""
    for name, value in _stack(load_settings()).environment().items():
        typer.echo(f"{name}={value}")


def _stack(settings: Settings) -> "Stack":
    from lakehouse_assets.services.stack import Stack

    return Stack(settings.services_folder, settings.cache_folder)
