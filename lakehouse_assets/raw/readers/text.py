"""Decodes landing files: encodings, byte order marks, bytes that are not text, and how these are shown."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

MOST_SHOWN = 10_000
"""How many bytes of a row quarantine keeps: of a longer row, its head and its tail."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_START = 8192
_SURROGATE = re.compile("[\ud800-\udfff]")


def _marked(error: UnicodeError) -> tuple[str, int]:
    """Decode each undefined byte as a lone surrogate: text never has one, so its row can be identified later."""
    assert isinstance(error, UnicodeDecodeError), "the handler is for reading"
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("lakehouse.marked", _marked)


@dataclass(frozen=True)
class Text:
    """A file's text converted to UTF-8, in chunks, and its source encoding. Bytes that it doesn't define become invalid UTF-8."""

    encoding: str
    start: bytes
    """The first 8 KiB."""
    pieces: Iterator[bytes]

    @property
    def is_binary(self) -> bool:
        """Whether the file seems to be binary. Ask only if its first line can't be parsed: a row may have a NUL by mistake."""
        return b"\0" in self.start

    @property
    def binary_reason(self) -> str:
        """The message for a binary file."""
        return f"the file is not text: byte 0x00 is at position {self.start.index(0) + 1}; have it sent unpacked, as agreed"

    @property
    def unmarked_utf16(self) -> str | None:
        """The kind of UTF-16 that a file without a byte order mark seems to have; None if it seems to have none."""
        first, second = (self.start[offset::2].count(0) / max(len(self.start) // 2, 1) for offset in (0, 1))
        if max(first, second) < 0.5 or min(first, second) > 0.25:
            return None
        return "utf-16-be" if first > second else "utf-16-le"

    def fault(self, row: bytes) -> tuple[str, str] | None:
        """Return the broken rule and the reason if a row is not in the file's encoding, else None."""
        if self.encoding == "utf-8":
            try:
                row.decode()
            except UnicodeDecodeError as error:
                return "row_is_utf8", f"byte 0x{row[error.start]:02X} at position {error.start + 1} of the row is not UTF-8"
        elif match := _SURROGATE.search(row.decode("utf-8", "surrogatepass")):
            byte = ord(match.group()) & 0xFF
            reason = f"byte 0x{byte:02X} at position {match.start() + 1} of the row is not {self.encoding}"
            return f"row_is_{self.encoding.replace('-', '_')}", reason
        return None

    def shown(self, row: bytes) -> str:
        """Return a row as quarantine shows it. Undecodable bytes and NUL are written in hex; a long row is cut in the middle."""
        if len(row) <= MOST_SHOWN:
            return self._shown(row)
        head, tail = _character_boundary(row, MOST_SHOWN * 4 // 5), _character_boundary(row, len(row) - MOST_SHOWN // 5)
        return f"{self._shown(row[:head])} [… {tail - head:,} of {len(row):,} bytes are left out …] {self._shown(row[tail:])}"

    def _shown(self, row: bytes) -> str:
        if self.encoding == "utf-8":
            text = row.decode(errors="backslashreplace")
        else:
            text = _SURROGATE.sub(lambda c: f"\\x{ord(c.group()) & 0xFF:02x}", row.decode("utf-8", "surrogatepass"))
        return text.replace("\0", "\\x00")


def decoded(pieces: Iterable[bytes], encoding: str) -> Text:
    """Convert to UTF-8 without a byte order mark, from the encoding of the mark, or else from the given one."""
    source = iter(pieces)
    first = b""
    while len(first) < _START and (piece := next(source, None)) is not None:
        first += piece
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", encoding))
    # `chain` and `for` leave the source open if a reader stops early; `yield from` would close it.
    text = _utf8(chain([first[len(mark) :]], source), encoding)
    start = next(text)
    return Text(encoding, start[:_START], chain([start], text))


def _utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Convert chunks to UTF-8; undefined bytes become lone surrogates."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(errors="lakehouse.marked")
    for piece in pieces:
        yield piece if decoder is None else decoder.decode(piece).encode(errors="surrogatepass")
    if decoder is not None:
        yield decoder.decode(b"", True).encode(errors="surrogatepass")


def _character_boundary(row: bytes, offset: int) -> int:
    """Return the offset, or one just before it, that does not split a UTF-8 character."""
    return next((o for o in range(offset, max(offset - 4, 0), -1) if row[o] & 0xC0 != 0x80), offset)
