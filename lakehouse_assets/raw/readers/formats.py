"""The readers, one a format. A new format is a class beside `Csv` in `contracts/feeds.py`, a module here, and a line in this table."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lakehouse_assets.contracts.feeds import Csv, Feed, Format, Json
from lakehouse_assets.raw.readers.batch import Batch
from lakehouse_assets.raw.readers.csv import read_csv
from lakehouse_assets.raw.readers.csv import read_header as read_csv_header
from lakehouse_assets.raw.readers.jsonl import read_jsonl, read_keys


@dataclass(frozen=True)
class Reader:
    """How files of a format are read: all rows, or only what columns there are."""

    rows: Callable[[Iterable[bytes], Feed], Iterator[Batch]]
    header: Callable[[Iterable[bytes], Feed], list[str]]


READERS: dict[type[Format], Reader] = {
    Csv: Reader(read_csv, read_csv_header),
    Json: Reader(read_jsonl, read_keys),
}


def read_rows(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """The rows of a landing file, in batches, in the order of the file; those that can't be read as rejects."""
    return READERS[type(feed.format)].rows(pieces, feed)


def read_header(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """The columns of a landing file under their names in the raw table; none where it can't be told."""
    return READERS[type(feed.format)].header(pieces, feed)
