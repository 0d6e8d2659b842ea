"""A lock between processes of one machine. The kernel lets go of it however its holder ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusively(file: Path) -> Iterator[None]:
    """Wait until nobody else is within a block on the same file, and keep others out of theirs meanwhile."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
