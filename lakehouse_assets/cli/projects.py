"""Beginning: a project of one's own, and a source system from samples."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lakehouse_assets.cli.output import say
from lakehouse_assets.settings import load_settings


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder. Its name becomes the name of a Python package.")],
) -> None:
    """Create a project of your own: a source system, a gold model, a test, a Makefile."""
    from lakehouse_assets.new_project import lay_out

    for file in lay_out(folder):
        typer.echo(file)
    say(f"\nNext: cd {folder} && make demo")


def new_source(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The name of the system, such as shop.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Sample files. The name of a file says what it has: orders_2026-01-31.csv; or say so: orders=export.csv.",
        ),
    ],
) -> None:
    """Declare a source system from sample files: columns, types, keys, and as questions what the files leave open."""
    from lakehouse_assets.new_source.sample import MOST_ROWS, shell_words
    from lakehouse_assets.new_source.write import new_source as write

    made = write(system, files, load_settings().system_packages)
    typer.echo(made.file)
    for feed in made.feeds:
        say(f"{feed.landing}: {len(feed.fields)} columns; tables: {', '.join(table.name for table in feed.tables)}.")
    for file in made.cut:
        say(f"Of {file}, only the first {MOST_ROWS:,} rows were looked at, or fewer where they are long.")
    say(f"\nNext: read the {made.questions} comments in it that begin with `# Question:`. Then\n  lakehouse check")
    for landing, samples in made.samples.items():
        say(f"  lakehouse land {landing} {shell_words(samples)} --date {datetime.now(UTC):%Y-%m-%d}")
    say("  lakehouse sync")
