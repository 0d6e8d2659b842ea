"""Ending in order when a signal comes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Yield whether a signal to end has come: the first ends what is under way in order, the second at once."""
    came = threading.Event()

    def note(number: int, frame: "FrameType | None") -> None:
        if came.is_set():
            signal.default_int_handler(number, frame)
        came.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
