"""A bar that tells how much of a run is left, on a terminal; elsewhere the same as lines."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakehouse_assets.cli.output import say


@contextmanager
def progress_shown() -> Iterator[Callable[[str], None]]:
    """Yield what takes the progress of a pass, line by line. On a terminal, the steps of a run move a bar."""
    if not sys.stderr.isatty():
        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lakehouse_assets.orchestration.in_process import StepDone

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    # Output of libraries goes to where it would go without the bar.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    task = bar.add_task("steps", total=None)

    def tell(text: str) -> None:
        if isinstance(text, StepDone):
            bar.update(task, completed=text.done, total=text.total, description=text.step)
        else:
            bar.reset(task, total=None, description="steps")
            bar.console.print(text, markup=False, highlight=False)

    with bar:
        yield tell
