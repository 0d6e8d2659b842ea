"""Reads a nested record in the dialect in which it is written: takes its values from where the dialect has them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lakehouse_assets.contracts.columns import letters
from lakehouse_assets.contracts.dialects import DIALECT_ADVICE, NUMBER, Dialect, dialect_of, no_dialect

_MOST_KNOWN = 100
"""How many keys an object has at most of which it is kept which is which."""

_NOTHING = object()
"""What lies at a path that leads nowhere."""


class NoDialectError(ValueError):
    """A record is not written in a dialect of its feed; the message says why."""


class UnreadableRecordError(ValueError):
    """Whoever wrote the record says that it can't be a row; the message says why."""


def in_dialect(record: dict[str, Any], dialects: Sequence[Dialect]) -> tuple[Dialect, list[tuple[str, Any]]]:
    """Return a record's dialect, and its fields: what the dialect names, under these names, then all that is left of the record.

    The record is used up.

    Raises:
        NoDialectError: it is of no dialect, or what is to be unwrapped is not an object.
        UnreadableRecordError: it says of itself that it can't be a row.
    """
    dialect = dialect_of(dialects, lambda mark: _at(record, mark) is not None)
    if dialect is None:
        raise NoDialectError(no_dialect(dialects, record, "the record") + DIALECT_ADVICE)
    if dialect.fault is not None and isinstance(fault := record.get(dialect.fault), str):
        raise UnreadableRecordError(fault)
    beside: dict[str, Any] = {}
    if dialect.unwrap is not None:
        numbers = [("key", key) for key in record if dialect.unwrap == NUMBER]
        beside, record = record, _taken(record, dialect.unwrap)
        if not isinstance(record, dict):
            raise NoDialectError(f"the record is of the dialect {dialect.name}, but its {dialect.unwrap} is not an object")
        beside |= numbers
    named = [(name, _taken(record, name)) for name in dict.fromkeys([*dialect.columns.values(), *dialect.lists])]
    fields = [(name, _listed(value) if name in dialect.lists else value) for name, value in named if value is not _NOTHING]
    return dialect, [*fields, *record.items(), *beside.items()]


def _at(value: Any, path: str) -> Any:
    """Return what lies at a path; None if nothing does."""
    for key, rest in _steps(value, path):
        return value[key] if not rest else _at(value[key], rest)
    return None


def _taken(value: Any, path: str) -> Any:
    """Take out what lies at a path, and each object or list around it in which nothing else is left; return it, or `_NOTHING`."""
    for key, rest in _steps(value, path):
        inner = value[key]
        taken = inner if not rest else None if inner is None else _taken(inner, rest)
        if not rest or _is_empty(inner):
            if isinstance(value, dict):
                del value[key]
            else:
                value[key] = None  # the others keep their places
        return taken
    return _NOTHING


def _steps(value: Any, path: str) -> list[tuple[Any, str]]:
    """Return the key or index by which a path goes on, and the rest of the path; nothing if it leads nowhere.

    A key that has the whole path for its name comes before the path.
    """
    step, _, rest = path.partition(".")
    if isinstance(value, dict):
        keys = tuple(value)
        whole = _key(keys, path)
        whole = None if rest and "." not in (whole or "") else whole  # `company_name` is not `company.name`
        first = whole if whole is not None else _key(keys, step)
        return [] if first is None else [(first, "" if whole is not None else rest)]
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return [(int(step), rest)]
    return []


def _key(keys: tuple[str, ...], name: str) -> str | None:
    """Return the key of this name; spaces, case and underscores don't matter."""
    # Many keys are data, such as those of an object by article, and of no other record.
    return (_known_key if len(keys) <= _MOST_KNOWN else _known_key.__wrapped__)(keys, name)


@lru_cache(maxsize=10_000)  # most records have the same keys
def _known_key(keys: tuple[str, ...], name: str) -> str | None:
    if name == NUMBER:
        return keys[0] if len(keys) == 1 and keys[0].isdecimal() else None
    return name if name in keys else next((key for key in keys if letters(key) == letters(name)), None)


def _is_empty(value: Any) -> bool:
    """Whether an object or list has nothing in it but null."""
    if isinstance(value, dict):
        return not value
    return value is None or (isinstance(value, list) and all(item is None for item in value))


def _listed(value: Any) -> Any:
    """Return an object keyed by number as a list, by number; each object in it gets its number as `key`."""
    if not isinstance(value, dict) or not all(key.isascii() and key.isdecimal() for key in value):
        return value
    items = sorted(value.items(), key=lambda pair: (len(pair[0].lstrip("0")), pair[0].lstrip("0")))  # `int` takes 4,300 digits
    return [{"key": key, **item} if isinstance(item, dict) else item for key, item in items]
