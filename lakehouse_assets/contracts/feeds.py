"""Feeds: what a source system delivers in one landing folder, and its format. Each feed becomes one raw table."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property

from lakehouse_assets.contracts.columns import column_names, snake_case
from lakehouse_assets.contracts.contract import NAME, repeated
from lakehouse_assets.contracts.formats import Csv, Format, Xlsx
from lakehouse_assets.contracts.problems import refuse
from lakehouse_assets.contracts.provenance import IN_RAW, SHEET


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
    is the least interval between two runs that the sensor requests for this feed; None leaves it to the sensor. Of several formats,
    the bytes of a file say in which it is; only one of them may be delimited.

    Raises:
        ContractError: `landing` does not have this form, two columns share a name, including the names in `also`, a format is given
            twice, or a header without a column that files must have.
    """

    landing: str
    columns: Sequence[SourceColumn]
    format: Format | Sequence[Format] = field(default_factory=Csv)
    complete: Complete | None = None
    every: timedelta | None = None

    def __post_init__(self) -> None:
        parts = self.landing.split("/")
        problems = [] if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts) else [_NOT_A_FOLDER]
        repeats = repeated([n for c in self.columns for n in dict.fromkeys(snake_case(name) for name in (c.name, *c.also))])
        columns = ", ".join(c.name for c in self.columns)
        problems += [f"of the columns {columns}, more than one is called {', '.join(repeats)}"] if repeats else []
        problems += self._format_problems
        problems += self.complete.problems if self.complete else []
        problems += ["the least interval is below zero"] if self.every is not None and self.every < timedelta(0) else []
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

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats in which a file may be."""
        return tuple(self.format) if isinstance(self.format, Sequence) else (self.format,)

    @property
    def provenance(self) -> tuple[str, ...]:
        """The provenance columns of the raw table, in their order."""
        return (*IN_RAW, SHEET) if any(isinstance(form, Xlsx) for form in self.formats) else IN_RAW

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

    def digest(self) -> str:
        """Return a hash of everything that determines the raw table's rows."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        columns = [[c.name, list(c.also), c.required] for c in self.columns]
        facts = [columns, *(fact for form in self.formats for fact in (type(form).__name__, asdict(form)))]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]

    @property
    def _format_problems(self) -> list[str]:
        kinds = [type(form).__name__ for form in self.formats]
        problems = [f"the format {', '.join(repeats)} is given more than once"] if (repeats := repeated(kinds)) else []
        problems += [] if kinds else ["it has no format"]
        for header in (h for form in self.formats if isinstance(form, Csv) for h in form.headers):
            missing = [c.name for c in self.missing(self.names_of(header.columns))]
            problems += [f"the header {', '.join(header.columns)} lacks the column {', '.join(missing)}"] if missing else []
        return problems


_NOT_A_FOLDER = "its folder is not system/entity in lower case letters, digits and _, such as 'crm/customers'"


def _letters(name: str) -> str:
    """Return the letters and digits of a name. Names with the same are equal: `CustomerID`, `customer id` and `CUSTOMER_ID`."""
    return snake_case(name).replace("_", "")
