"""Holds a file on disk whose format can't be read as a stream: its directory is at its end."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO

_MEMORY_BYTES = 16 * 1024 * 1024


@contextmanager
def spooled(pieces: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """Write a stream to a temporary file, which stays in memory if it is small, and open it for reading at its beginning."""
    with SpooledTemporaryFile(_MEMORY_BYTES) as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        yield file
