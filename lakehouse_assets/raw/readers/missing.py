"""What a header says, and messages for files whose columns are not as declared, with advice on renamed columns."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lakehouse_assets.contracts.dialects import DIALECT_ADVICE, Dialect, no_dialect
from lakehouse_assets.contracts.feeds import Feed

MAX_NEW_COLUMNS = 500
"""How many columns a file may have beyond those of its feed. With more, its column names are probably values."""

_SHOWN = 10
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Header:
    """What a file's header says: the columns under their names in the raw table, and their dialect.

    `fault` is why its rows can't be read, or None: the end of the rule's name, the reason, and what to do.
    """

    names: list[str]
    dialect: Dialect | None
    fault: tuple[str, str, str] | None

    def planned(self, feed: Feed) -> list[str]:
        """Return the names, with all of the feed's if the dialect leaves out what is null: nothing is missing then."""
        omits_nulls = self.dialect is not None and self.dialect.omits_nulls
        return list(dict.fromkeys([*self.names, *feed.column_names])) if omits_nulls else self.names


def header_of(feed: Feed, fields: Sequence[str]) -> Header:
    """Return the header of these fields. Call `has_too_many_columns` before."""
    dialect = feed.dialect_of(fields)
    names = feed.names_of(fields, dialect)
    fault = None
    if feed.dialects and dialect is None:
        fault = "is_of_a_dialect", no_dialect(feed.dialects, fields, "the header"), DIALECT_ADVICE
    elif feed.missing(names, dialect):
        fault = "has_required_columns", lacks_columns(feed, names, dialect), rename_advice(feed, fields, names, dialect)
    return Header(names, dialect, fault)


def has_too_many_columns(feed: Feed, columns: int) -> str | None:
    """Return why a file with this many columns is refused, or None. Call it before naming the columns: naming many is slow."""
    if columns <= len(feed.columns) + MAX_NEW_COLUMNS:
        return None
    return (
        f"the file has more than {MAX_NEW_COLUMNS} columns that the feed does not declare; "
        "have it sent with the columns agreed on, or declare them in the feed"
    )


def lacks_columns(feed: Feed, names: Collection[str], dialect: Dialect | None = None) -> str:
    """Say which required columns are missing. `names` are the file's columns as `Feed.names_of` returns them."""
    missing = [c.name if dialect is None else dialect.columns.get(c.name, c.name) for c in feed.missing(names, dialect)]
    of_it = "" if dialect is None else f" of the dialect {dialect.name}"
    return f"the file lacks the required column{'s' if len(missing) > 1 else ''} {', '.join(missing)}{of_it}"


def rename_advice(feed: Feed, fields: Sequence[str], names: Iterable[str], dialect: Dialect | None = None) -> str:
    """List the file's columns that the feed doesn't know: they may be renamed ones. `fields` are the file's own names."""
    unknown = [field for field, name in zip(fields, names, strict=True) if field.strip() and name not in feed.column_names]
    if not unknown:
        return ""
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in unknown[:_SHOWN]]
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    where = "to that column in the feed: SourceColumn(..., also=('new name',))"
    if dialect is not None:
        where = f"of that column to the dialect in the feed: Dialect({dialect.name!r}, ..., columns={{'column': 'new name'}})"
    return f" and has instead: {', '.join(shown)}{more}; if one of these is a missing one renamed, add the new name {where}"
