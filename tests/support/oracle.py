"""What each write mode must give, in plain Python: no SQL, no storage, no increments. Tests compare tables with it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby


@dataclass(frozen=True)
class Row:
    """A row as it landed."""

    key: str | None
    at: int | None
    value: str | None
    deletes: bool
    date: str
    file: str
    number: int

    @property
    def place(self) -> tuple[str, str, int]:
        return self.date, self.file, self.number

    @property
    def moment(self) -> tuple[bool, int]:
        return self.at is not None, self.at or 0


@dataclass
class Expected:
    """What stands, as `(key, at, value, valid_to)` by place, and how many rows of each date are superseded and quarantined."""

    standing: dict[tuple[str, str, int], tuple[str, int | None, str | None, int | None]] = field(default_factory=dict)
    superseded: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)


def expected(rows: Iterable[Row], mode: str) -> Expected:
    """The table that these rows make, whatever the order in which they came. A row without a key, or of value `bad`, is dropped."""
    result = Expected()
    good = []
    for row in rows:
        if row.key is None or (row.value == "bad" and not row.deletes):
            result.quarantined[row.date] = result.quarantined.get(row.date, 0) + 1
        else:
            good.append(row)

    def competes(row: Row) -> tuple[str, str]:
        return str(row.key), row.date if mode == "snapshot" else ""

    for _, of_key in groupby(sorted(good, key=competes), key=competes):
        (_versions if mode == "history" else _upserted)(list(of_key), result)
    for row in good:
        if row.place not in result.standing:
            result.superseded[row.date] = result.superseded.get(row.date, 0) + 1
    return result


def _upserted(rows: list[Row], result: Expected) -> None:
    winner = max(rows, key=lambda r: (r.moment, r.place))
    if not winner.deletes:
        result.standing[winner.place] = (str(winner.key), winner.at, winner.value, None)


def _versions(rows: list[Row], result: Expected) -> None:
    rows.sort(key=lambda r: (r.moment, r.place))
    of_moments = [list(same)[-1] for _, same in groupby(rows, key=lambda r: r.moment)]
    until = None
    for place in reversed(range(len(of_moments))):
        row, before = of_moments[place], of_moments[place - 1] if place else None
        if row.deletes:
            until = row.at
        elif before is None or before.deletes or before.value != row.value:
            result.standing[row.place] = (str(row.key), row.at, row.value, until)
            until = row.at
