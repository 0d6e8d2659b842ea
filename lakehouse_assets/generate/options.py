"""What to generate: how much, of which days, with how much dirt."""

from dataclasses import dataclass
from datetime import date, timedelta

from lakehouse_assets.errors import GenerateError

MOST_DIRT = 0.05
"""A row has at most one kind of dirt, and no entity has more than twenty kinds."""


@dataclass(frozen=True)
class Options:
    """The options of `lakehouse generate`. `first` and `last` are landing dates; `dirt` is the share of rows with each kind."""

    seed: int = 1
    scale: float = 1.0
    first: date = date(2026, 1, 1)
    last: date = date(2026, 1, 31)
    dirt: float = 0.01

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            GenerateError: an option is out of its range.
        """
        if self.first > self.last:
            raise GenerateError(f"--from {self.first} is after --to {self.last}.")
        if not 0 < self.scale <= 1000:
            raise GenerateError(f"--scale {self.scale:g} is not between 0 and 1000.")
        if not 0 <= self.dirt <= MOST_DIRT:
            raise GenerateError(f"--dirt {self.dirt:g} is not between 0 and {MOST_DIRT:g}: it is the share of each kind of dirt.")

    @property
    def days(self) -> list[date]:
        """All days from first to last."""
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]

    def sized(self, at_scale_1: int) -> int:
        """Return how many there are of something at this scale: at least 1."""
        return max(1, round(at_scale_1 * self.scale))

    def is_weekly(self, day: date) -> bool:
        """Whether weekly exports land on a day: the first one, and every seventh after it."""
        return (day - self.first).days % 7 == 0
