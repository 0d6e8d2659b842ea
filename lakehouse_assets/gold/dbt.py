"""dbt as Dagster runs it here: the resource, and its output without what a store has answered."""

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
    """The resource for a dbt project."""
    return QuickStartDbt(
        project_dir=str(project_folder),
        profiles_dir=str(project_folder),
        dbt_executable=executable("lakehouse-dbt"),
        global_config_flags=["--no-version-check", "--no-use-colors"],
    )


@contextmanager
def unquoted_output(root: Root) -> Iterator[None]:
    """Let what dbt says within the block, which dagster-dbt prints event by event, not quote the store."""
    out = sys.stdout

    class Unquoted(TextIOBase):
        def write(self, text: str) -> int:
            told = unquoted(root, text)
            return out.write(told if told == text else f"{told}\n")

        def flush(self) -> None:
            out.flush()

    with redirect_stdout(cast("TextIO", Unquoted())):
        yield
