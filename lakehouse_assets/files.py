"""Files that other processes read while they are written."""

import os
import threading
from pathlib import Path

PRIVATE = 0o600
"""Only the user can read it."""


def write_whole(file: Path, text: str, mode: int = 0o666) -> None:
    """Write a file atomically, so that a reader never sees half of it. `mode` are its permissions, before the umask."""
    unfinished = file.with_name(f".{file.name}-{os.getpid()}-{threading.get_ident()}")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as out:
        out.write(text)
    unfinished.replace(file)
