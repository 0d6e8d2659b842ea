"""The readers, one per format. A new format needs a class in `contracts/feeds.py`, a module here, and a line in `READERS`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lakehouse_assets.contracts.feeds import Csv, Feed, Format, Json
from lakehouse_assets.raw.readers.batch import Batch, RefusedFileError
from lakehouse_assets.raw.readers.csv import read_csv
from lakehouse_assets.raw.readers.csv import read_header as read_csv_header
from lakehouse_assets.raw.readers.jsonl import read_jsonl, read_keys
from lakehouse_assets.raw.readers.packed import unpacked
from lakehouse_assets.raw.readers.trailer import without_trailer


@dataclass(frozen=True)
class Reader:
    """The functions that read a format: all rows, or only the column names."""

    rows: Callable[[Iterable[bytes], Feed], Iterator[Batch]]
    header: Callable[[Iterable[bytes], Feed], list[str]]


READERS: dict[type[Format], Reader] = {
    Csv: Reader(read_csv, read_csv_header),
    Json: Reader(read_jsonl, read_keys),
}


def read_rows(
    pieces: Iterable[bytes], feed: Feed, name: str, size: int, told: Callable[[int | None], None] = lambda rows: None
) -> Iterator[Batch]:
    """Yield the rows of a landing file, in batches, in the order of the file; rows that can't be parsed are rejects.

    `name` and `size` (bytes) are those of the file: one whose name ends in .gz or .zst is unpacked. `told` gets the control total of
    its trailer, if the feed has trailers: None if this file has none.

    Raises:
        RefusedFileError: the file is refused as a whole, maybe after the first batches.
    """
    return READERS[type(feed.format)].rows(without_trailer(unpacked(pieces, name, size), feed, told), feed)


def read_header(pieces: Iterable[bytes], feed: Feed, name: str, size: int) -> list[str]:
    """Return the columns of a landing file under their names in the raw table; none if they are unknown."""
    try:
        return READERS[type(feed.format)].header(without_trailer(unpacked(pieces, name, size), feed), feed)
    except RefusedFileError:
        return []
