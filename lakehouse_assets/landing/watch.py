"""Waits for files to land: a folder tells of its changes itself, anything else is to be listed."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from lakehouse_assets.landing.objects import is_unfinished
from lakehouse_assets.store.root import Root

_QUIET_MS = 200
"""A burst of changes is over once nothing has changed for so long."""

_LONGEST_BURST_MS = 2_000
"""After so long a burst is not waited for any more."""

LOOK_SECONDS = 0.5
"""How often the caller gets the word, whether or not something has landed."""


def arrivals(root: Root, list_seconds: float, stop: threading.Event, tell: Callable[[str], None]) -> Iterator[bool]:
    """Yield, about every `LOOK_SECONDS`, whether something may have landed since; end once `stop` is set.

    Nothing is missed while the caller is busy. Where no change is told of, something may have landed every `list_seconds`.
    """
    if root.local_folder is not None:
        folder = root.local_folder / "landing"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield from _changes(folder, stop)
            return
        except (OSError, RuntimeError) as error:  # such as the system's limit of watched folders
            tell(f"{folder} can't be watched ({error}): it is listed every {list_seconds:g} s instead.")
    waited = 0.0
    while not stop.wait(min(LOOK_SECONDS, list_seconds)):
        waited += min(LOOK_SECONDS, list_seconds)
        yield (is_due := waited >= list_seconds)
        waited = 0.0 if is_due else waited


def _changes(folder: Path, stop: threading.Event) -> Iterator[bool]:
    from watchfiles import watch

    def may_be_loaded(_: object, path: str) -> bool:
        return not is_unfinished(Path(path).relative_to(folder).as_posix())

    for changes in watch(
        folder,
        watch_filter=may_be_loaded,
        debounce=_LONGEST_BURST_MS,
        step=_QUIET_MS,
        rust_timeout=int(LOOK_SECONDS * 1000),
        yield_on_timeout=True,
        stop_event=stop,
    ):
        yield bool(changes)
