"""The formats of a feed's files. Each has a reader in `raw/readers/formats.py`. Any file may be packed with gzip or zstd."""

import codecs
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from lakehouse_assets.errors import ContractError


@dataclass(frozen=True)
class Header:
    """The columns of a delimited file without a header line, by position, in files that landed under the date `since` or later."""

    columns: Sequence[str]
    since: date = date.min


@dataclass(frozen=True)
class Csv:
    """The format of delimited files: the delimiter, and the encoding if it is not UTF-8 or UTF-16 with a byte order mark.

    `headers` says that the files have no header line, and which columns they have; the latest that had begun on the landing date
    counts. Without it, the first line of a file is its header.

    Raises:
        ContractError: the delimiter is not one ASCII character, Python has no such text encoding, or two headers begin on one date.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    headers: Sequence[Header] = ()

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise ContractError(f"Csv: delimiter {self.delimiter!r} is not one ASCII character that can separate fields.")
        try:
            codecs.getincrementaldecoder(self.encoding)
            " ".encode(self.encoding)  # refuses codecs that are not for text, such as hex
            # Use the codec's one name, so that `UTF-8` and `utf8` are the same as `utf-8`.
            object.__setattr__(self, "encoding", codecs.lookup(self.encoding).name)
        except (LookupError, UnicodeError):
            raise ContractError(
                f"Csv: there is no encoding {self.encoding!r}; see Python's list of standard encodings."
            ) from None
        if len({header.since for header in self.headers}) < len(self.headers):
            raise ContractError("Csv: two of the headers begin on the same date: give each a date of its own (`since`).")

    def header_on(self, day: date) -> Header | None:
        """Return the header of files without a header line that landed on a date; None if there is none."""
        begun = [header for header in self.headers if header.since <= day]
        return max(begun, key=lambda header: header.since, default=None)


@dataclass(frozen=True)
class Json:
    """JSON in UTF-8: lines of one object each, or documents. Its bytes say which.

    A document is an object, or a list of objects, each of which is a row. `records` is where in a document the rows are, if they
    are in an envelope: the keys that lead to them, such as `results` or `data.items`. `#` at the end stands for an object keyed by
    number, {"17": {...}, "18": {...}}: its members are rows, each with its key around it, which a dialect unwraps. A file may have
    several documents, or a list of envelopes: pages. An object that lacks the first of these keys is a row itself.

    `unwrap` names a key whose value is the row, in rows that have it: `payload` for lines that Kafka Connect wraps with their
    schema.
    """

    unwrap: str | None = None
    records: str | None = None


@dataclass(frozen=True)
class Xlsx:
    """Excel workbooks. The first row with a value is a sheet's header; raw has the sheet's name in the column `_sheet`.

    `sheets` names the sheets to read; None stands for all visible ones.

    Raises:
        ContractError: `sheets` is a text or empty.
    """

    sheets: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.sheets, str):
            raise ContractError(f"Xlsx: sheets {self.sheets!r} is a text, not names: write ({self.sheets!r},).")
        if self.sheets is not None and not self.sheets:
            raise ContractError("Xlsx: sheets is empty: name the sheets to read, or leave it out to read all visible ones.")


@dataclass(frozen=True)
class Parquet:
    """Parquet files. Values become text without loss, and nested values JSON."""


Format = Csv | Json | Xlsx | Parquet
"""The format of a feed's files. Each has a reader in `raw/readers/formats.py`."""

Lines = Csv | Json
"""The formats of lines: only these can end with a trailer line."""


def format_facts(form: Format) -> list[Any]:
    """Return what a format declares, for a digest. Options that came later count only where they are used: older digests stay."""
    declared = {name: value for name, value in asdict(form).items() if name == "unwrap" or value not in (None, (), [])}
    return [type(form).__name__, declared]
