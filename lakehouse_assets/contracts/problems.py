"""How mistakes in contracts are told: each in one line, with the nearest right name, and all of them at once where somebody gathers."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

from lakehouse_assets.errors import ContractError

_gathered: ContextVar[list[str] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered() -> Iterator[list[str]]:
    """Within the block problems are collected in the list that it gives, and what has them is made all the same."""
    problems: list[str] = []
    token = _gathered.set(problems)
    try:
        yield problems
    finally:
        _gathered.reset(token)


def refuse(what: str, problems: Sequence[str]) -> None:
    """Tell the problems of something, half a sentence each.

    Raises:
        ContractError: there are any, and nobody gathers them.
    """
    if (gathering := _gathered.get()) is not None:
        gathering.extend(f"{what}: {problem}." for problem in problems)
    elif problems:
        raise ContractError(f"{what}: {'; '.join(problems)}.")


def nearest(name: str, names: Collection[str]) -> str:
    """A question after the name that was probably meant, to stand behind the wrong one; nothing where none is near.

    >>> nearest("quantty", ["quantity", "price"])
    " (did you mean 'quantity'?)"
    """
    by_letters = {known.lower(): known for known in names}
    found = get_close_matches(name.lower(), by_letters, 1)
    return f" (did you mean {by_letters[found[0]]!r}?)" if found else ""
