"""Feeds: what a source system delivers in one landing folder, and its format. Each feed becomes one raw table."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from lakehouse_assets.contracts.clock import zone_fault
from lakehouse_assets.contracts.columns import column_names, letters, snake_case
from lakehouse_assets.contracts.contract import NAME, repeated
from lakehouse_assets.contracts.deliveries import Due, Manifest, Trailer
from lakehouse_assets.contracts.dialects import Dialect, dialect_of, dialect_problems
from lakehouse_assets.contracts.formats import Csv, Format, Json, Lines, Xlsx, format_facts
from lakehouse_assets.contracts.money import currency_fault
from lakehouse_assets.contracts.polls import Poll
from lakehouse_assets.contracts.problems import refuse
from lakehouse_assets.contracts.provenance import DIALECT, IN_RAW, SHEET
from lakehouse_assets.contracts.topics import RECORD, RECORD_COLUMNS, Topic


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

    A delivery with fewer rows than `least` times those of the previous one, or than its control totals say, deletes nothing until it
    is accepted (`lakehouse accept`). Its rows are loaded anyway.
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
    the bytes of a file say in which it is; only one of them may be delimited. `dialects` are the forms in which a record, or the
    header of a file, may be written; without any, names are those of `columns`. `zone` is the time zone of times that name none, such
    as `Europe/Paris`; UTC if None. `currency` is the currency of its amounts (ISO 4217): silver functions get it as
    `_source_currency`. `due` says when its deliveries are due, `totals` with what they are compared. `poll` says where the lakehouse
    fetches the feed from, `topic` from which Kafka topic its records come; None if others drop its files. A feed with a topic gets
    the columns of a record and the dialect `kafka`; files with the plain events may land beside the records, and are told from them by
    their required columns, unless the feed declares its own dialects.

    Raises:
        ContractError: `landing` does not have this form, two columns share a name, including the names in `also`, a format is given
            twice, a header lacks a column that files must have, no format has the trailers that it declares or reads what its poll
            lands, the dialects contradict each other, or there is no such zone or currency.
    """

    landing: str
    columns: Sequence[SourceColumn]
    format: Format | Sequence[Format] = field(default_factory=Csv)
    complete: Complete | None = None
    every: timedelta | None = None
    dialects: Sequence[Dialect] = ()
    zone: str | None = None
    currency: str | None = None
    due: Due | None = None
    totals: Manifest | Trailer | None = None
    poll: Poll | None = None
    topic: Topic | None = None

    def __post_init__(self) -> None:
        if self.topic is not None:
            self._add_record()
        parts = self.landing.split("/")
        problems = [] if len(parts) == 2 and all(NAME.fullmatch(part) for part in parts) else [_NOT_A_FOLDER]
        repeats = repeated([n for c in self.columns for n in dict.fromkeys(snake_case(name) for name in (c.name, *c.also))])
        columns = ", ".join(c.name for c in self.columns)
        problems += [f"of the columns {columns}, more than one is called {', '.join(repeats)}"] if repeats else []
        problems += self._format_problems
        problems += self.complete.problems if self.complete else []
        problems += ["the least interval is below zero"] if self.every is not None and self.every < timedelta(0) else []
        problems += dialect_problems(self.dialects, self.column_names)
        problems += [f"zone {fault}"] if self.zone is not None and (fault := zone_fault(self.zone)) else []
        problems += [fault] if self.currency is not None and (fault := currency_fault(self.currency)) else []
        problems += [
            problem for declared in (self.due, self.totals, self.poll, self.topic) if declared for problem in declared.problems
        ]
        problems += [_NOT_COMPLETE] if self.poll and self.complete else []
        problems += [_NO_DELIVERIES] if self.topic and self.complete else []
        problems += [_NOT_JSON] if self.topic and not any(isinstance(form, Json) for form in self.formats) else []
        problems += [_NOT_POLLED.format(self.poll.lands)] if self.poll and self.poll.lands not in self.formats else []
        refuse(f"Feed {self.landing}", problems)
        if isinstance(self.totals, Manifest):
            self.of_manifests(self.totals)  # refuses headers that lack its columns

    def _add_record(self) -> None:
        """Add what Kafka puts around a row. Does nothing if it is there."""
        plain = Dialect("plain", told_by=tuple(c.name for c in self.columns if c.required and c.name not in RECORD_COLUMNS))
        own = [d for d in self.dialects or (plain,) if d.name != RECORD.name and d.marks]
        known = {snake_case(column.name) for column in self.columns}
        added = [SourceColumn(name, what, required=False) for name, what in RECORD_COLUMNS.items() if name not in known]
        object.__setattr__(self, "columns", (*self.columns, *added))
        object.__setattr__(self, "dialects", (RECORD, *own))

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
        sheet = (SHEET,) if any(isinstance(form, Xlsx) for form in self.formats) else ()
        return (*IN_RAW, *sheet, *((DIALECT,) if self.dialects else ()))

    def dialect_of(self, fields: Sequence[str]) -> Dialect | None:
        """Return the dialect of a header with these fields; None if it has none, or the feed."""
        known = {letters(name) for name in fields}
        return dialect_of(self.dialects, lambda mark: letters(mark) in known)

    def names_of(self, fields: Sequence[str], dialect: Dialect | None = None) -> list[str]:
        """Return the raw table's names for the fields of a file: as declared, else in snake_case."""
        # The first names are those that the dialect gives away: no other field gets them, whether the file has them or not.
        given = dialect.names if dialect else {}
        by_letters = {letters(name): index for index, name in reversed(list(enumerate(fields)))}
        named = {by_letters[letters(name)]: column for column, name in given.items() if letters(name) in by_letters}
        others = [index for index in range(len(fields)) if index not in named]
        names = column_names([*given, *(fields[index] for index in others)])
        undeclared = {
            letters(fields[index]): position
            for position, index in reversed(list(enumerate(others, start=len(given))))
            if names[position] not in self.column_names
        }
        for column, name in zip(self.columns, self.column_names, strict=True):
            known = [letters(n) for n in (column.name, *column.also)]
            if name not in names and (match := next((n for n in known if n in undeclared), None)):
                names[undeclared.pop(match)] = name
        named |= dict(zip(others, names[len(given) :], strict=True))
        return [named[index] for index in range(len(fields))]

    def missing(self, names: Collection[str], dialect: Dialect | None = None) -> list[SourceColumn]:
        """Return the required columns that are not among the names (as `names_of` returns them)."""
        if dialect is not None and dialect.omits_nulls:
            return []
        return [c for c, name in zip(self.columns, self.column_names, strict=True) if c.required and name not in names]

    def is_manifest(self, name: str) -> bool:
        """Return whether a file of the feed has control totals instead of rows."""
        return isinstance(self.totals, Manifest) and self.totals.is_one(name)

    def of_manifests(self, manifest: Manifest) -> "Feed":
        """Return the feed that its manifests are read as. The headers of its own files are not theirs.

        Raises:
            ContractError: the manifest's format has a header that lacks one of its columns.
        """
        inherited = [replace(form, headers=()) if isinstance(form, Csv) else form for form in self.formats]
        columns = [SourceColumn(name, "of a manifest") for name in manifest.columns]
        return Feed(self.landing, columns, manifest.format or inherited)

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
        facts: list[Any] = [columns, *(fact for form in self.formats for fact in format_facts(form))]
        facts += [self.totals.facts] if self.totals else []
        facts += [[dialect.facts for dialect in self.dialects]] if self.dialects else []
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]

    @property
    def _format_problems(self) -> list[str]:
        kinds = [type(form).__name__ for form in self.formats]
        problems = [f"the format {', '.join(repeats)} is given more than once"] if (repeats := repeated(kinds)) else []
        problems += [] if kinds else ["it has no format"]
        has_lines = any(isinstance(form, Lines) for form in self.formats)
        problems += [_NO_TRAILERS] if isinstance(self.totals, Trailer) and kinds and not has_lines else []
        for header in (h for form in self.formats if isinstance(form, Csv) for h in form.headers):
            dialect = self.dialect_of(header.columns)
            missing = [c.name for c in self.missing(self.names_of(header.columns, dialect), dialect)]
            problems += [f"the header {', '.join(header.columns)} lacks the column {', '.join(missing)}"] if missing else []
        return problems


_NO_TRAILERS = "its files can't end with a trailer: none of its formats is of lines, as Csv() and Json() are"

_NOT_COMPLETE = "a poll can miss a record that moves between its pages, so its deliveries are not complete: leave `complete` out"

_NO_DELIVERIES = "a topic has no full exports, so its deliveries are not complete: leave `complete` out"

_NOT_JSON = "the records of its topic land as JSON: declare format=Json()"

_NOT_POLLED = "none of its formats is what its poll lands: declare format={}"

_NOT_A_FOLDER = "its folder is not system/entity in lower case letters, digits and _, such as 'crm/customers'"
