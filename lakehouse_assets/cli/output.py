"""What all commands print with: results go to stdout, all else to stderr."""

import sys

import typer

from lakehouse_assets.errors import LakehouseError


def say(text: str) -> None:
    """Print progress, a warning or a hint."""
    typer.echo(text, err=True)


def print_error(error: LakehouseError) -> int:
    """Print an error and return the exit code."""
    typer.secho(f"error: {error}", fg="red", err=True)
    return 1


def width() -> int | None:
    """Return the columns of a table that is shown; None stands for those of the terminal."""
    return None if sys.stdout.isatty() else 160
