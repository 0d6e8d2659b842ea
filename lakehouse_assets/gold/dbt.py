"""dbt for Dagster: the resource, and dbt's output with quotes of the store's answers removed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import TextIO, cast

from lakehouse_assets.gold.dbt_ahead import executable
from lakehouse_assets.hooks.dagster_dbt import QuickStartDbt
from lakehouse_assets.store.errors import unquoted
from lakehouse_assets.store.root import Root


def dbt_resource(project_folder: Path) -> QuickStartDbt:
    """Return the Dagster resource for a dbt project."""
    return QuickStartDbt(
        project_dir=str(project_folder),
        profiles_dir=str(project_folder),
        dbt_executable=executable("lakehouse-dbt"),
        # A run's target folder goes with the run: nobody reads a log file there.
        global_config_flags=["--no-version-check", "--no-use-colors", "--log-level-file", "none"],
    )


@contextmanager
def unquoted_output(root: Root) -> Iterator[None]:
    """Remove quotes of the store's answers from what dagster-dbt prints within the block."""
    out = sys.stdout

    class Unquoted(TextIOBase):
        def write(self, text: str) -> int:
            clean = unquoted(root, text)
            return out.write(clean if clean == text else f"{clean}\n")

        def flush(self) -> None:
            out.flush()

    with redirect_stdout(cast("TextIO", Unquoted())):
        yield
