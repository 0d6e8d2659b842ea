"""Decodes landing files: encodings, byte order marks, bytes that are not text, and how these are shown."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from lakehouse_assets.raw.readers.batch import MOST_SHOWN, RefusedFileError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""No line is longer: the readers hold whole lines in memory. A longer one is no text of lines."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
START = 8192
"""How many bytes of a file say what it is."""
_BLOCK_BYTES = 1024 * 1024
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
    """The first bytes: `START`."""
    pieces: Iterator[bytes]

    @property
    def is_binary(self) -> bool:
        """Whether the file seems to be binary. Ask only if its first line can't be parsed: a row may have a NUL by mistake."""
        return b"\0" in self.start

    @property
    def binary_reason(self) -> str:
        """The message for a binary file."""
        return (
            f"the file is not text: byte 0x00 is at position {self.start.index(0) + 1}; have it sent as text, "
            "which may be packed with gzip or zstd"
        )

    @property
    def unmarked_utf16(self) -> str | None:
        """The kind of UTF-16 that a file without a byte order mark seems to have; None if it seems to have none."""
        first, second = (self.start[offset::2].count(0) / max(len(self.start) // 2, 1) for offset in (0, 1))
        if max(first, second) < 0.5 or min(first, second) > 0.25:
            return None
        return "utf-16-be" if first > second else "utf-16-le"

    def blocks(self, *, line_ends: bytes) -> Iterator[bytes]:
        """Yield the text in blocks of whole lines, of about 1 MiB. The last line may lack its end.

        `line_ends` holds the bytes that end a line: LF, or CR and LF. No block ends between CR and LF.

        Raises:
            RefusedFileError: a line is longer than `MAX_LINE_BYTES`.
        """
        begun: list[bytes] = []
        size = 0
        ends = [bytes([end]) for end in line_ends]
        for part in (piece[n : n + _BLOCK_BYTES] for piece in self.pieces for n in range(0, len(piece), _BLOCK_BYTES)):
            if b"\r" in line_ends and begun and begun[-1].endswith(b"\r") and not part.startswith(b"\n"):
                yield b"".join(begun)
                begun, size = [], 0
            # A CR at the end of a part may be half of a line end.
            cut = max(part.rfind(b"\n"), part.rfind(b"\r", 0, -1) if b"\r" in line_ends else -1) + 1
            if cut:
                # However the bytes are cut into parts, only the first line of one can be too long.
                if size + min(n for end in ends if (n := part.find(end)) >= 0) > MAX_LINE_BYTES:
                    raise self._without_lines(b"".join([*begun, part]))
                yield b"".join([*begun, part[:cut]])
                begun, size = [], 0
            if cut < len(part):
                begun.append(part[cut:])
                size += len(part) - cut
            if size > MAX_LINE_BYTES:
                raise self._without_lines(b"".join(begun))
        if begun:
            yield b"".join(begun)

    def _without_lines(self, beginning: bytes) -> RefusedFileError:
        shown = [self._shown(beginning[: _character_boundary(beginning, START)])]
        if self.is_binary:
            return RefusedFileError("file_is_text", self.binary_reason, shown)
        reason = f"the file has a line of more than {MAX_LINE_BYTES // 1024**2} MiB: have it sent in lines, as agreed"
        return RefusedFileError("file_has_lines", reason, shown)

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


def begun(pieces: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first `size` bytes of a stream or more, all of them if it has fewer, and the rest of it."""
    source = iter(pieces)
    first = b""
    while len(first) < size and (piece := next(source, None)) is not None:
        first += piece
    return first, source


def decoded(pieces: Iterable[bytes], encoding: str) -> Text:
    """Convert to UTF-8 without a byte order mark, from the encoding of the mark, or else from the given one."""
    first, source = begun(pieces, START)
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", encoding))
    # `chain` and `for` leave the source open if a reader stops early; `yield from` would close it.
    text = _utf8(chain([first[len(mark) :]], source), encoding)
    start = next(text)
    return Text(encoding, start[:START], chain([start], text))


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
