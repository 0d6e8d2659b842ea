"""Cuts the trailer line off a file, as a stream, and reads the control total in it."""

import codecs
from collections.abc import Callable, Iterable, Iterator

from lakehouse_assets.contracts.deliveries import Trailer
from lakehouse_assets.contracts.feeds import Feed

_TAIL_BYTES = 64 * 1024
"""How much of a file's end is held back: a trailer is shorter. It is a whole number of characters of UTF-16, too."""

_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def without_trailer(
    pieces: Iterable[bytes], feed: Feed, report_total: Callable[[int | None], None] = lambda rows: None
) -> Iterable[bytes]:
    """Return the bytes of a file without its trailer, if the feed has trailers. At the end, `told` gets the number in it, or None."""
    if not isinstance(feed.totals, Trailer):
        return pieces
    return _without(pieces, feed.totals, getattr(feed.format, "encoding", "utf-8"), report_total)


def _without(
    pieces: Iterable[bytes], trailer: Trailer, encoding: str, report_total: Callable[[int | None], None]
) -> Iterator[bytes]:
    start, tail = b"", b""
    for piece in pieces:
        start = start if len(start) >= 2 else start + piece[:2]
        tail += piece
        if len(tail) > _TAIL_BYTES:
            yield tail[:-_TAIL_BYTES]
            tail = tail[-_TAIL_BYTES:]
    cut, rows = _last_line(tail, trailer, _MARKS.get(start[:2], encoding))
    report_total(rows)
    if cut:
        yield tail[:cut]


def _last_line(tail: bytes, trailer: Trailer, encoding: str) -> tuple[int, int | None]:
    """Return where the trailer starts, and its number; the end of the bytes and None if the last line is none."""
    text = tail.decode(encoding, "replace")
    end = len(text.rstrip())
    start = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
    line = text[start:end].strip("\ufeff \t")
    rows = None if "\ufffd" in line else trailer.total(line)
    if rows is None:
        return len(tail), None
    mark = len("".encode(encoding))  # some codecs put a byte order mark before any text
    return len(tail) - (len(text[start:].encode(encoding)) - mark), rows
