"""The rows that a silver table has already: live rows in its files, and rows that are set aside."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from lakehouse_assets.books.set_aside import SUPERSEDED, SetAside
from lakehouse_assets.silver.stage import is_staged


@dataclass(frozen=True)
class Held:
    """The rows of a table version, or of some of its dates: the files of live rows (see `live_files`), and rows set aside."""

    files: list[dict[str, Any]]
    aside: SetAside

    @property
    def rows(self) -> dict[str, int]:
        """The files with live and superseded rows, and how many rows each has; of a batch's files, each its share."""
        superseded = self.aside.with_reason(SUPERSEDED).batches
        shares = {file: 1 + sum(batch.rows.values()) // len(batch.files) for batch in superseded for file in batch.files}
        return {file["path"]: file["num_records"] for file in self.files} | shares

    def in_files(self, files: Collection[str]) -> "Held":
        """Return the part in some of the files."""
        return Held([f for f in self.files if f["path"] in files], self.aside.with_files(files))

    def of(self, dates: Collection[date]) -> "Held":
        """Return the part with the given dates."""
        return Held([f for f in self.files if f["date"] in dates], self.aside.of(dates))

    def without(self, dates: Collection[date]) -> "Held":
        """Return the part with all other dates."""
        return Held([f for f in self.files if f["date"] not in dates], self.aside.without(dates))

    def __add__(self, other: "Held") -> "Held":
        return Held([*self.files, *other.files], self.aside + other.aside)

    @property
    def dates(self) -> set[date]:
        """The dates of these rows."""
        return {f["date"] for f in self.files} | self.aside.rows_by_date.keys()

    @property
    def count(self) -> int:
        """How many rows these are."""
        live: int = sum(f["num_records"] for f in self.files)
        return live + self.aside.count

    @property
    def compacted_dates(self) -> set[date]:
        """The dates with a file that `lakehouse maintain` has compacted."""
        return {f["date"] for f in self.files if not is_staged(f["path"])}
