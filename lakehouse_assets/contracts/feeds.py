"""Feeds: what a source system delivers in one landing folder, and its format. Each feed becomes one raw table."""

import codecs
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property

from lakehouse_assets.contracts.clock import zone_fault
from lakehouse_assets.contracts.columns import column_names, snake_case
from lakehouse_assets.contracts.contract import NAME, repeated
from lakehouse_assets.contracts.deliveries import Due, Manifest, Trailer
from lakehouse_assets.contracts.money import currency_fault
from lakehouse_assets.contracts.problems import refuse
from lakehouse_assets.errors import ContractError


@dataclass(frozen=True)
class Csv:
    """The format of delimited files: the delimiter, and the encoding if it is not UTF-8 or UTF-16 with a byte order mark.

    Raises:
        ContractError: the delimiter is not one ASCII character, or Python has no such text encoding.
    """

    delimiter: str = ","
    encoding: str = "utf-8"

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


@dataclass(frozen=True)
class Json:
    """JSON Lines: one object a line, in UTF-8.

    `unwrap` names a key whose value is the row, in lines that have it: `payload` for lines that Kafka Connect wraps with their
    schema.
    """

    unwrap: str | None = None


Format = Csv | Json
"""The format of a feed's files. Each has a reader in `raw/readers/formats.py`. A file may also be packed, as `.gz` or `.zst`."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of a source file, under its name in the file. Spaces, case and underscores in a name don't matter.

    `also` lists the column's other names, such as the one before a rename. A file that lacks a `required` column is quarantined
    as a whole; any other column is NULL if the file lacks it.
    """

    name: str
    description: str
    also: Sequence[str] = ()
    required: bool = True


@dataclass(frozen=True)
class Complete:
    """Each delivery, that is all files of one landing date, has every key that exists: a key that it lacks is deleted.

    A delivery with fewer rows than `least` times those of the previous one deletes nothing until it is accepted (`lakehouse
    accept`). Its rows are loaded anyway.
    """

    least: float = 0.5

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        return [] if 0 <= self.least <= 1 else [f"a delivery has at least {self.least} times the rows before: use 0 to 1"]


@dataclass(frozen=True)
class Feed:
    """What a system delivers at `landing/<system>/<entity>/<date>/`, with its columns, all read as text.

    `landing` has the form `system/entity`, such as `crm/customers`. `complete` says that each delivery is a full export. `every`
    is the least interval between two runs that the sensor requests for this feed; None leaves it to the sensor. `zone` is the time
    zone of times that name none, such as `Europe/Paris`; UTC if None. `currency` is the currency of its amounts (ISO 4217): silver
    functions get it as `_source_currency`. `due` says when its deliveries are due, `totals` with what they are compared.

    Raises:
        ContractError: `landing` does not have this form, two columns share a name, including the names in `also`, or there is no such
            zone or currency.
    """

    landing: str
    columns: Sequence[SourceColumn]
    format: Format = field(default_factory=Csv)
    complete: Complete | None = None
    every: timedelta | None = None
    zone: str | None = None
    currency: str | None = None
    due: Due | None = None
    totals: Manifest | Trailer | None = None

    def __post_init__(self) -> None:
        parts = self.landing.split("/")
        problems = [] if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts) else [_NOT_A_FOLDER]
        repeats = repeated([n for c in self.columns for n in dict.fromkeys(snake_case(name) for name in (c.name, *c.also))])
        columns = ", ".join(c.name for c in self.columns)
        problems += [f"of the columns {columns}, more than one is called {', '.join(repeats)}"] if repeats else []
        problems += self.complete.problems if self.complete else []
        problems += ["the least interval is below zero"] if self.every is not None and self.every < timedelta(0) else []
        problems += [f"zone {fault}"] if self.zone is not None and (fault := zone_fault(self.zone)) else []
        problems += [fault] if self.currency is not None and (fault := currency_fault(self.currency)) else []
        problems += [problem for declared in (self.due, self.totals) if declared for problem in declared.problems]
        refuse(f"Feed {self.landing}", problems)

    @property
    def system(self) -> str:
        """The name of the system that delivers the feed."""
        return self.landing.split("/")[0]

    @property
    def table(self) -> str:
        """The name of the feed's raw table, such as `crm_customers`."""
        return self.landing.replace("/", "_")

    @property
    def column_names(self) -> list[str]:
        """The names of the columns in the raw table."""
        return [snake_case(c.name) for c in self.columns]

    def names_of(self, fields: Sequence[str]) -> list[str]:
        """Return the raw table's names for the fields of a file: as declared, else in snake_case."""
        names = column_names(fields)
        undeclared = {
            _letters(name): index for index, name in reversed(list(enumerate(fields))) if names[index] not in self.column_names
        }
        for column, name in zip(self.columns, self.column_names, strict=True):
            known = [_letters(n) for n in (column.name, *column.also)]
            if name not in names and (match := next((n for n in known if n in undeclared), None)):
                names[undeclared.pop(match)] = name
        return names

    def missing(self, names: Collection[str]) -> list[SourceColumn]:
        """Return the required columns that are not among the names (as `names_of` returns them)."""
        return [c for c, name in zip(self.columns, self.column_names, strict=True) if c.required and name not in names]

    def is_manifest(self, name: str) -> bool:
        """Return whether a file of the feed has control totals instead of rows."""
        return isinstance(self.totals, Manifest) and self.totals.is_one(name)

    @property
    def meaning(self) -> list[str]:
        """What silver, but not raw, depends on: each declaration of what the columns mean, as `name=value`."""
        return [f"{name}={value}" for name, value in (("zone", self.zone), ("currency", self.currency)) if value is not None]

    def digest(self) -> str:
        """Return a hash of everything that determines the raw table's rows."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        columns = [[c.name, list(c.also), c.required] for c in self.columns]
        facts = [columns, type(self.format).__name__, asdict(self.format), *([self.totals.facts] if self.totals else [])]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


_NOT_A_FOLDER = "its folder is not system/entity in lower case letters, digits and _, such as 'crm/customers'"


def _letters(name: str) -> str:
    """Return the letters and digits of a name. Names with the same are equal: `CustomerID`, `customer id` and `CUSTOMER_ID`."""
    return snake_case(name).replace("_", "")
