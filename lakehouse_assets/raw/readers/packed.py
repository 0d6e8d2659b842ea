"""Unpacks compressed files, as a stream: gzip and zstd, told by the file's first bytes, of one or several members."""

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.text import begun

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""The compression by a file's first bytes."""

SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
"""The compression that the end of a name, in any case, says a file has: it is damaged if its bytes don't have it."""

MOST_TIMES, ALWAYS_ALLOWED = 200, 256 * 1024 * 1024
"""A file may unpack to so many times its size, or to so many bytes if that is more. Text compresses 5 to 50 times."""

_PIECE_BYTES = 1024 * 1024


def unpacked(pieces: Iterable[bytes], name: str, size: int) -> Iterable[bytes]:
    """Return the bytes of a file of `size` bytes, unpacked if its bytes or its name say that it is compressed.

    Raises:
        RefusedFileError: while it is read: the file is damaged, cut off, or unpacks to too much.
    """
    first, rest = begun(pieces, max(map(len, MAGIC)))
    compression = next((c for magic, c in MAGIC.items() if first.startswith(magic)), None)
    compression = compression or next((c for suffix, c in SUFFIXES.items() if name.lower().endswith(suffix)), None)
    whole = chain([first], rest)
    return whole if compression is None else _unpacked(_Source(whole), compression, size)


def _unpacked(source: "_Source", compression: str, size: int) -> Iterator[bytes]:
    import pyarrow as pa

    done = 0
    stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), compression)
    while piece := _read(stream, source, compression):
        done += len(piece)
        if done > most_unpacked(size):
            raise unpacks_to_too_much(size, "have it sent unpacked, or in several files")
        yield piece


def most_unpacked(size: int) -> int:
    """Return the number of bytes to which a file of `size` bytes may unpack."""
    return max(MOST_TIMES * size, ALWAYS_ALLOWED)


def unpacks_to_too_much(size: int, advice: str) -> RefusedFileError:
    """Return the refusal of a file of `size` bytes that unpacks to more than it may."""
    return RefusedFileError(
        "file_has_bounded_size",
        f"the file of {size:,} bytes unpacks to more than {most_unpacked(size):,} bytes; allowed are {MOST_TIMES} times its size, "
        f"or {ALWAYS_ALLOWED // 1024**2} MiB if that is more: {advice}",
    )


def _read(stream: "pa.CompressedInputStream", source: "_Source", compression: str) -> bytes:
    try:
        return bytes(stream.read(_PIECE_BYTES))
    except OSError as error:
        if source.error is not None:
            raise source.error from None
        fault = "is cut off" if "runcated" in str(error) else "is damaged"
        reason = f"the file {fault}: it can't be unpacked with {compression} ({error}); have it sent again"
        raise RefusedFileError("file_unpacks", reason) from None


class _Source(io.RawIOBase):
    """A stream of bytes in pieces as a file. `error` is what the stream raised: Arrow would hide that the store did."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It can be read only."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; none at the end."""
        try:
            while not self._rest and (piece := next(self._pieces, None)) is not None:
                self._rest = memoryview(piece)
        except Exception as error:
            self.error = error
            raise
        count = len(self._rest) if size < 0 else size
        read, self._rest = bytes(self._rest[:count]), self._rest[count:]
        return read
