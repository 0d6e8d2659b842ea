"""Files and folders that other processes read while they are written."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PRIVATE = 0o600
"""Only the user can read it."""


def write_whole(file: Path, text: str, mode: int = 0o666) -> None:
    """Write a file atomically, so that a reader never sees half of it. `mode` are its permissions, before the umask."""
    unfinished = file.with_name(f".{file.name}-{os.getpid()}-{threading.get_ident()}")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as out:
        out.write(text)
    unfinished.replace(file)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, to be moved there when complete. What is left of it is deleted after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}-{uuid4().hex[:8]}")
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Make a folder atomically: the block makes it at another path, and it then moves, unless another process was faster."""
    with beside(folder) as unfinished:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():
                raise
