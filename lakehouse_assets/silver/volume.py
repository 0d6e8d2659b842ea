"""Whether a date of a table has about as many rows as the dates before it, by the volume that its contract declares."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from statistics import median

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.contracts.contract import Volume


@dataclass(frozen=True)
class DateVolume:
    """The rows that came in on a date, and how many are usual: the median of `dates_before`; None if those are too few to say."""

    rows: int
    usual: float | None
    dates_before: int
    is_unusual: bool


def volumes(
    volume: Volume, records: Iterable[PartitionRecord], is_wanted: Callable[[date], bool] = lambda day: True
) -> dict[date, DateVolume]:
    """Return the volume of the dates that are wanted; `records` are all of a table. Unverified and uncounted ones have none."""
    known = sorted((r.date, r.rows_in) for r in records if not r.is_unverified and r.rows_in is not None)
    with_rows = [(day, rows) for day, rows in known if rows]
    found = {}
    for day, rows in known:
        if not is_wanted(day):
            continue
        index = bisect_left(with_rows, (day, 0))
        before = [rows for _, rows in with_rows[max(0, index - volume.dates) : index]]
        usual = median(before) if len(before) >= volume.at_least else None
        is_unusual = usual is not None and not volume.smallest * usual <= rows <= volume.largest * usual
        found[day] = DateVolume(rows, usual, len(before), is_unusual)
    return found
