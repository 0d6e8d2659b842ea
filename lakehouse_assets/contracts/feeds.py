"""A feed: what a source system delivers under one landing folder, and how it is written. It makes one raw table."""

import codecs
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from lakehouse_assets.contracts.columns import column_names, snake_case
from lakehouse_assets.contracts.contract import NAME, repeated
from lakehouse_assets.contracts.problems import refuse
from lakehouse_assets.errors import ContractError


@dataclass(frozen=True)
class Csv:
    """How delimited files are written: delimiter and, where it isn't UTF-8 or UTF-16 with a byte order mark, the encoding.

    Raises:
        ContractError: the delimiter is not one ASCII character, or Python knows no such encoding of text.
    """

    delimiter: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise ContractError(f"Csv: delimiter {self.delimiter!r} is not one ASCII character that may stand between fields.")
        try:
            codecs.getincrementaldecoder(self.encoding)
            " ".encode(self.encoding)  # refuses what is no text, such as hex
            # By its one name, so that `UTF-8` and `utf8` are read as `utf-8` is.
            object.__setattr__(self, "encoding", codecs.lookup(self.encoding).name)
        except (LookupError, UnicodeError):
            raise ContractError(
                f"Csv: there is no encoding {self.encoding!r}; see Python's list of standard encodings."
            ) from None


@dataclass(frozen=True)
class Json:
    """JSON Lines: one object a line, in UTF-8.

    `unwrap` names a key whose value is the row, in lines that have it: `payload` for what Kafka Connect wraps with its schema.
    """

    unwrap: str | None = None


Format = Csv | Json
"""How files are written. Each has its reader in `raw/formats.py`."""


@dataclass(frozen=True)
class SourceColumn:
    """A column that a source file has, under its name there. Spaces, case and underscores make no difference to a name.

    `also` are other names under which the column is known, such as the one it had before somebody renamed it.
    A file without a column that is `required` is quarantined as a whole; any other is NULL where the file lacks it.
    """

    name: str
    description: str
    also: Sequence[str] = ()
    required: bool = True


@dataclass(frozen=True)
class Complete:
    """Each delivery, which is all files of one landing date, names every key that exists: a key that it lacks is deleted.

    A delivery with fewer rows than `least` times those of the delivery before it deletes nothing until somebody accepts it
    (`lakehouse accept`). Its rows come in all the same.
    """

    least: float = 0.5

    @property
    def problems(self) -> list[str]:
        """What contradicts itself."""
        return [] if 0 <= self.least <= 1 else [f"a delivery has at least {self.least} times the rows before: use 0 to 1"]


@dataclass(frozen=True)
class Feed:
    """What a system delivers at `landing/<system>/<entity>/<date>/`, with its columns, all read as text.

    `landing` is written `system/entity`, such as `crm/customers`. `complete` says that each delivery is a full export. `every` is
    the least interval between two runs that the sensor asks for because of this feed; None leaves it to the sensor.

    Raises:
        ContractError: `landing` is not written so, or two columns share a name, counting the names under which they are also known.
    """

    landing: str
    columns: Sequence[SourceColumn]
    format: Format = field(default_factory=Csv)
    complete: Complete | None = None
    every: timedelta | None = None

    def __post_init__(self) -> None:
        parts = self.landing.split("/")
        problems = [] if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts) else [_NOT_A_FOLDER]
        twice = repeated([n for c in self.columns for n in dict.fromkeys(snake_case(name) for name in (c.name, *c.also))])
        columns = ", ".join(c.name for c in self.columns)
        problems += [f"of the columns {columns}, more than one is called {', '.join(twice)}"] if twice else []
        problems += self.complete.problems if self.complete else []
        problems += ["the least interval is below zero"] if self.every is not None and self.every < timedelta(0) else []
        refuse(f"Feed {self.landing}", problems)

    @property
    def system(self) -> str:
        """The name of the system that delivers it."""
        return self.landing.split("/")[0]

    @property
    def table(self) -> str:
        """The name of its raw table, such as `crm_customers`."""
        return self.landing.replace("/", "_")

    @property
    def column_names(self) -> list[str]:
        """The names of the columns in the raw table."""
        return [snake_case(c.name) for c in self.columns]

    def names_of(self, fields: Sequence[str]) -> list[str]:
        """What the fields of a file are called in the raw table: as declared where they are, else in snake_case."""
        names = column_names(fields)
        free = {
            _letters(name): place for place, name in reversed(list(enumerate(fields))) if names[place] not in self.column_names
        }
        for column, name in zip(self.columns, self.column_names, strict=True):
            known = [_letters(n) for n in (column.name, *column.also)]
            if name not in names and (match := next((n for n in known if n in free), None)):
                names[free.pop(match)] = name
        return names

    def missing(self, names: Collection[str]) -> list[SourceColumn]:
        """The required columns that are not among the names (as `names_of` gives them)."""
        return [c for c, name in zip(self.columns, self.column_names, strict=True) if c.required and name not in names]

    def digest(self) -> str:
        """A hash of all that decides which rows the raw table holds."""
        columns = [[c.name, list(c.also), c.required] for c in self.columns]
        facts = [columns, type(self.format).__name__, asdict(self.format)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


_NOT_A_FOLDER = "its folder is not system/entity in lower case letters, digits and _, such as 'crm/customers'"


def _letters(name: str) -> str:
    """What makes two names the same: their letters and digits. `CustomerID`, `customer id` and `CUSTOMER_ID` are one name."""
    return snake_case(name).replace("_", "")
