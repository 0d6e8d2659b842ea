"""Packs lines into an object as they come, so that a batch takes as much memory as its object."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from lakehouse_assets.landing.drain.names import Head

_LEVEL = 4
"""Of 1 to 9. Above it, packing takes longer than all else that the drain does."""


def _compressor() -> Any:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


@dataclass
class Packed:
    """Lines, packed so far. `size` is their size in bytes before packing."""

    size: int = 0
    _checksum: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _packer: Any = field(default_factory=_compressor)

    def add(self, lines: bytes) -> None:
        """Add whole lines."""
        self.size += len(lines)
        self._checksum = zlib.crc32(lines, self._checksum)
        self._pieces.append(self._packer.compress(lines))

    def content(self, head: Head) -> bytes:
        """Return the object. Nothing can be added to it afterwards."""
        end = struct.pack("<II", self._checksum, self.size & 0xFFFFFFFF)
        return b"".join([head.gzip_header(), *self._pieces, self._packer.flush(), end])
