"""Bytes of a landing file as text: encodings, byte order marks, what of it is no text, and how that is shown."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

MOST_SHOWN = 10_000
"""The bytes of a row that quarantine keeps: of a longer one its head and its tail."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_START = 8192
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def _marked(error: UnicodeError) -> tuple[str, int]:
    """A half character for each byte that the encoding doesn't define: no text has one, so the byte is found again in its row."""
    assert isinstance(error, UnicodeDecodeError), "the handler is for reading"
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("lakehouse.marked", _marked)


@dataclass(frozen=True)
class Text:
    """A file's text in UTF-8, in pieces, and the encoding that it came in. What that doesn't define is no UTF-8 here either."""

    encoding: str
    start: bytes
    """The first 8 KiB."""
    pieces: Iterator[bytes]

    @property
    def is_binary(self) -> bool:
        """Whether the file seems to be no text. Ask where its first line can't be understood: a row may hold a NUL by mistake."""
        return b"\0" in self.start

    @property
    def binary_reason(self) -> str:
        """What is told of a binary file."""
        return f"the file is not text: byte 0x00 stands at position {self.start.index(0) + 1}; have it sent unpacked, as agreed"

    @property
    def unmarked_utf16(self) -> str | None:
        """The kind of UTF-16 that the file seems to be, without a byte order mark that says so."""
        first, second = (self.start[place::2].count(0) / max(len(self.start) // 2, 1) for place in (0, 1))
        if max(first, second) < 0.5 or min(first, second) > 0.25:
            return None
        return "utf-16-be" if first > second else "utf-16-le"

    def fault(self, row: bytes) -> tuple[str, str] | None:
        """The rule that a row breaks by not being in the file's encoding, and the byte and its position; None where it is."""
        if self.encoding == "utf-8":
            try:
                row.decode()
            except UnicodeDecodeError as error:
                return "row_is_utf8", f"byte 0x{row[error.start]:02X} at position {error.start + 1} of the row is not UTF-8"
        elif found := _HALF_CHARACTER.search(row.decode("utf-8", "surrogatepass")):
            byte = ord(found.group()) & 0xFF
            reason = f"byte 0x{byte:02X} at position {found.start() + 1} of the row is not {self.encoding}"
            return f"row_is_{self.encoding.replace('-', '_')}", reason
        return None

    def shown(self, row: bytes) -> str:
        """A row as quarantine keeps it. Bytes that are no text, and NUL, are written out in hex; a long row is cut in its middle."""
        if len(row) <= MOST_SHOWN:
            return self._shown(row)
        head, tail = _whole_characters(row, MOST_SHOWN * 4 // 5), _whole_characters(row, len(row) - MOST_SHOWN // 5)
        return f"{self._shown(row[:head])} [… {tail - head:,} of {len(row):,} bytes are left out …] {self._shown(row[tail:])}"

    def _shown(self, row: bytes) -> str:
        if self.encoding == "utf-8":
            text = row.decode(errors="backslashreplace")
        else:
            text = _HALF_CHARACTER.sub(lambda c: f"\\x{ord(c.group()) & 0xFF:02x}", row.decode("utf-8", "surrogatepass"))
        return text.replace("\0", "\\x00")


def decoded(pieces: Iterable[bytes], encoding: str) -> Text:
    """The same text in UTF-8 without a byte order mark, from the encoding that it names, or else from the given one."""
    source = iter(pieces)
    first = b""
    while len(first) < _START and (piece := next(source, None)) is not None:
        first += piece
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", encoding))
    # `chain` and `for` leave the source open where a reader has seen enough; `yield from` would close it.
    text = _utf8(chain([first[len(mark) :]], source), encoding)
    start = next(text)
    return Text(encoding, start[:_START], chain([start], text))


def _utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)(errors="lakehouse.marked")
    for piece in pieces:
        yield piece if decoder is None else decoder.decode(piece).encode(errors="surrogatepass")
    if decoder is not None:
        yield decoder.decode(b"", True).encode(errors="surrogatepass")


def _whole_characters(row: bytes, place: int) -> int:
    """The place, or one just before it, where no character of UTF-8 is cut."""
    return next((p for p in range(place, max(place - 4, 0), -1) if row[p] & 0xC0 != 0x80), place)
