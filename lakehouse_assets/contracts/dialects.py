"""Dialects: the forms in which a source writes the same records, such as an older API or an export by hand.

    Feed(
        "desk/tickets",
        (SourceColumn("id", "Number"), SourceColumn("subject", "Subject"), SourceColumn("company", "Name", required=False)),
        format=Json(),
        dialects=(
            Dialect("v1", unwrap="helpdesk_ticket", columns={"id": "display_id", "company": "requester.company.name"}),
            Dialect("v2", told_by=("id", "subject"), omits_nulls=True),
        ),
    )

All dialects of a feed end in its columns. Each record, or the header of a file that has one, shows by itself in which it is written.
Raw keeps each value as it came, what no column asks for under its own name, and the dialect's name in `_dialect`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse_assets.contracts.columns import letters, snake_case
from lakehouse_assets.contracts.problems import nearest

NUMBER = "#"
"""The step of a path that stands for the only key of an object, if that is a number."""


@dataclass(frozen=True)
class Dialect:
    """A form in which a source writes its records.

    `told_by` are values that each record of the dialect has, and that none of the dialects listed after it needs to lack: a record is
    of the first dialect whose values it has. Without it, `unwrap` tells.
    `columns` says, by the name of a feed's column, what the dialect calls it; a column that it leaves out is called as in the feed.
    `unwrap` leads to the object that is the record, such as `ticket` or `record.fields`; what lies beside it stays with the record.
    `#` stands for a key that is a number: {"17": {...}}; the number becomes the field `key`.
    `lists` are lists that the dialect writes as objects keyed by number: {"0": {...}, "1": {...}}.
    `omits_nulls` says that it leaves out what is null, so that no column is missing.
    `fault` names a value by which whoever wrote the record says that it can't be a row, and why: it goes to quarantine for that.

    Names are those of keys or of a header's fields; spaces, case and underscores don't matter. In nested records a name may be a path,
    `requester.name` or `categ_id.0`. Null is the same as nothing.
    """

    name: str
    told_by: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    unwrap: str | None = None
    lists: Sequence[str] = ()
    omits_nulls: bool = False
    fault: str | None = None

    @property
    def marks(self) -> tuple[str, ...]:
        """The names of the values that tell the dialect."""
        return tuple(self.told_by) or ((self.unwrap,) if self.unwrap else ())

    @property
    def names(self) -> dict[str, str]:
        """What the dialect calls columns, by their names in the raw table."""
        return {snake_case(column): name for column, name in self.columns.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """What determines the rows, for a digest."""
        names = {"told_by": list(self.marks), "columns": sorted(self.names.items()), "lists": sorted(self.lists)}
        fault = {"fault": self.fault} if self.fault else {}
        return names | fault | {"name": self.name, "unwrap": self.unwrap, "omits_nulls": self.omits_nulls}

    def problems(self, columns: Sequence[str]) -> list[str]:
        """Return the contradictions in this declaration, half a sentence each. `columns` are those of the raw table."""
        problems = [
            f"{what} {names!r} is a text, not names: write ({names!r},)"
            for what, names in (("told_by", self.told_by), ("lists", self.lists))
            if isinstance(names, str)
        ]
        if not self.marks:
            problems.append("nothing tells it: name values that each of its records has (told_by)")
        problems += [
            f"{column!r} is not a column of the feed{nearest(column, columns)}"
            for column in self.columns
            if snake_case(column) not in columns
        ]
        called = [letters(name) for name in self.columns.values()]
        problems += [
            f"{name!r} is two columns" for name in dict.fromkeys(self.columns.values()) if called.count(letters(name)) > 1
        ]
        paths = [*self.marks, *self.columns.values(), *self.lists, *([self.unwrap] if self.unwrap else [])]
        problems += [f"{path!r} is not a name or path" for path in dict.fromkeys(paths) if not all(path.split("."))]
        return problems


def dialect_problems(dialects: Sequence[Dialect], columns: Sequence[str]) -> list[str]:
    """Return the contradictions in the dialects of a feed, half a sentence each. `columns` are those of the raw table."""
    problems = [f"dialect {d.name!r}: {problem}" for d in dialects for problem in d.problems(columns)]
    names = [d.name for d in dialects]
    problems += [f"dialect {name!r} is declared twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    marks = [{letters(mark) for mark in d.marks} for d in dialects]
    problems += [
        f"dialect {dialect.name!r} is never met: each of its records is of {earlier.name!r}, which is listed before it"
        for number, dialect in enumerate(dialects)
        for earlier, its in zip(dialects[:number], marks, strict=False)
        if its and its <= marks[number]
    ]
    return problems


def dialect_of(dialects: Sequence[Dialect], has: Callable[[str], bool]) -> Dialect | None:
    """Return the first dialect of whose marks a record or header `has` all; None if there is none."""
    return next((d for d in dialects if all(map(has, d.marks))), None)


DIALECT_ADVICE = "; have it sent as agreed, or declare its dialect in the feed: Dialect(name, told_by=(...), columns={...})"


def no_dialect(dialects: Sequence[Dialect], fields: Collection[str], what: str) -> str:
    """Say that a record or header with these fields, `what`, is of no dialect, and what would tell each."""
    described = "; ".join(f"{d.name} has {', '.join(d.marks)}" for d in dialects)
    shown = ", ".join(name[:_LONGEST_NAME] for name in list(fields)[:_SHOWN]) or "nothing"
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return f"{what} is of no dialect of the feed ({described}): it has {shown}{more}"


_SHOWN, _LONGEST_NAME = 10, 100
