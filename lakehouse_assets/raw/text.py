"""Bytes of a landing file as text: encodings, byte order marks, what of it is no text, and how that is shown."""

import codecs
from collections.abc import Callable, Iterable, Iterator

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8 without a byte order mark, from the encoding that the mark says, or else from the given one."""
    source = iter(pieces)
    first = b""
    while len(first) < 4 and (piece := next(source, None)) is not None:
        first += piece
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", encoding))
    first = first[len(mark) :]
    if encoding == "utf-8":
        yield first
        yield from source
        return
    decoder: Callable[..., str] = codecs.getincrementaldecoder(encoding)(errors="backslashreplace").decode
    yield decoder(first).encode()
    for piece in source:
        yield decoder(piece).encode()
    yield decoder(b"", True).encode()


def fault_of_utf8(text: bytes) -> str | None:
    """What is wrong with a row that is not UTF-8; None where it is."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"byte 0x{text[error.start]:02X} at position {error.start + 1} of the row is not UTF-8"
    return None


def shown(text: bytes) -> str:
    """The text as quarantine keeps it. Bytes that are no UTF-8, and NUL, are written out in hex."""
    return text.decode(errors="backslashreplace").replace("\0", "\\x00")
