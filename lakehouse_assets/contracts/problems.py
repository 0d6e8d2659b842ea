"""Reports mistakes in contracts: each in one line, with the nearest valid name, and all at once within `gathered`."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

from lakehouse_assets.errors import ContractError

_gathered: ContextVar[list[str] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered() -> Iterator[list[str]]:
    """Collect problems in the yielded list instead of raising them: within the block, faulty objects are created anyway."""
    problems: list[str] = []
    token = _gathered.set(problems)
    try:
        yield problems
    finally:
        _gathered.reset(token)


def refuse(what: str, problems: Sequence[str]) -> None:
    """Report the problems of something, half a sentence each.

    Raises:
        ContractError: there are problems, and they are not being gathered.
    """
    if (gathering := _gathered.get()) is not None:
        gathering.extend(f"{what}: {problem}." for problem in problems)
    elif problems:
        raise ContractError(f"{what}: {'; '.join(problems)}.")


def nearest(name: str, names: Collection[str]) -> str:
    """Return a suggestion of the nearest name, to append to a wrong one; empty if no name is near.

    >>> nearest("quantty", ["quantity", "price"])
    " (did you mean 'quantity'?)"
    """
    by_letters = {known.lower(): known for known in names}
    matches = get_close_matches(name.lower(), by_letters, 1)
    return f" (did you mean {by_letters[matches[0]]!r}?)" if matches else ""
