"""Seeded draws: what is drawn under one name never depends on what is drawn under another."""

from collections.abc import Sequence
from random import Random


def draws(*name: object) -> Random:
    """Return a generator of random numbers for a name, such as a seed, what is drawn, and a day."""
    return Random(" ".join(map(str, name)))  # noqa: S311 - nothing here is a secret


def numbers(random: Random, count: int, first: int) -> list[int]:
    """Return different numbers from `first` on, in no order: what a system that counts by itself calls the things of the world."""
    return random.sample(range(first, first + 2 * count), count)


class Dirt:
    """Decides which rows are dirty, and how. Each kind hits the same share of rows; a row has at most one kind."""

    def __init__(self, random: Random, share: float) -> None:
        self._random = random
        self._share = share
        self.counts: dict[str, int] = {}

    def pick(self, kinds: Sequence[str]) -> str | None:
        """Return the kind of dirt of the next row; None for a clean row."""
        drawn = self._random.random()
        if drawn >= self._share * len(kinds):
            return None
        kind = kinds[int(drawn / self._share)]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return kind
