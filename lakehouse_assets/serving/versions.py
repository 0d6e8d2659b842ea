"""Which version of each table a query reads.

- A query that reads gold sees gold, and the silver tables that it was built from, as the newest manifest names them: a pass that is
  under way shows nothing of itself before its end.
- A query that reads no gold sees the newest version of each table.
- `--as-of` names a version (of the one table that the query reads), a time, or a pass. Gold, and silver beside gold, is read by the
  manifest of that pass, or by the newest one of that time; other tables as they were at that moment, by the times of their commits.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from deltalake import DeltaTable

from lakehouse_assets.books.manifest import Manifest, Manifests, Pinned
from lakehouse_assets.books.records import table_id
from lakehouse_assets.delta.tables import open_table, open_version
from lakehouse_assets.errors import QueryError
from lakehouse_assets.store.root import Root

Tell = Callable[[str], None]


@dataclass(frozen=True)
class AsOf:
    """The state that a query asks for: exactly one of a table's version, a moment (UTC), and the number of a pass."""

    text: str
    version: int | None = None
    time: datetime | None = None
    number: int | None = None


_PASS = re.compile(r"pass:(\d+)")
_HOW = (
    "Write a version (12, of the one table that the query reads), a date (2026-01-31, its end), a time (2026-01-31T14:30) "
    "or a pass (pass:7)"
)


def parse_as_of(text: str, zone: str) -> AsOf:
    """Parse what `--as-of` was given. A date means its end; dates and times without an offset are of the given zone.

    Raises:
        QueryError: it is none of these.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return AsOf(text, version=int(text))
    if named := _PASS.fullmatch(text):
        return AsOf(text, number=int(named[1]))
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return AsOf(text, time=datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC) - _SMALLEST)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{text!r} is no version, time or pass. {_HOW}.") from None
    return AsOf(text, time=(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC))


_SMALLEST = timedelta(microseconds=1)


class Versions:
    """Opens tables at the versions that a query is to read. `tell` gets a sentence for each that could not be had."""

    def __init__(self, root: Root, as_of: AsOf | None, tell: Tell) -> None:
        self._root, self._as_of, self._tell = root, as_of, tell

    def open(self, layer: str, name: str, *, beside_gold: bool) -> DeltaTable | None:
        """Open a table; `beside_gold` says that the query reads gold too. None if there is no such table.

        Raises:
            QueryError: the state that `--as-of` names can't be read any more, or there was none.
        """
        if self._as_of is not None and self._as_of.version is not None:
            return self._at_version(layer, name, self._as_of.version)
        pinned = self._pinned(layer, name) if beside_gold else None
        if pinned is not None:
            return self._at_pinned(layer, name, pinned)
        moment = self._moment
        return open_table(self._root.table(layer, name)) if moment is None else self._at_moment(layer, name, moment)

    @property
    def _moment(self) -> datetime | None:
        """The moment that is asked for; None if it is now."""
        if self._as_of is None or self._as_of.time is not None:
            return None if self._as_of is None else self._as_of.time
        assert self._manifest is not None, "a pass that is not there is an error"
        return self._manifest.time

    def _pinned(self, layer: str, name: str) -> Pinned | None:
        """Return the version that the manifest names, if there is a manifest and it names the table."""
        manifest = self._manifest
        pinned = manifest.tables.get((layer, name)) if manifest is not None else None
        if manifest is not None and layer == "gold" and name in manifest.behind:
            self._tell(f"gold.{name} is older than the other tables: its last build failed.")
        return pinned

    @cached_property
    def _manifest(self) -> Manifest | None:
        """The manifest by which gold is read; None if no pass has published one.

        Raises:
            QueryError: there is none with the number that was asked for.
        """
        manifests = Manifests(self._root)
        if self._as_of is None:
            return manifests.newest()
        if self._as_of.number is not None:
            if (numbered := manifests.numbered(self._as_of.number)) is None:
                newest = manifests.newest()
                known = f"The newest is pass:{newest.number}" if newest else "No pass has published gold yet"
                raise QueryError(f"There is no {self._as_of.text}, or not any more. {known}.")
            return numbered
        assert self._as_of.time is not None, "a version needs no manifest"
        return manifests.at(self._as_of.time)

    def _at_version(self, layer: str, name: str, version: int) -> DeltaTable | None:
        uri = self._root.table(layer, name)
        if (newest := open_table(uri)) is None:
            return None
        table = open_version(uri, version) if version <= newest.version() else None
        if table is None:
            raise QueryError(
                f"{layer}.{name} has no version {version}"
                + (f": its newest is {newest.version()}." if version > newest.version() else " any more: its log was shortened.")
            )
        return table

    def _at_pinned(self, layer: str, name: str, pinned: Pinned) -> DeltaTable | None:
        uri, manifest = self._root.table(layer, name), self._manifest
        assert manifest is not None, "it names the version"
        table = open_version(uri, pinned.version)
        if table is not None and table_id(table) == pinned.table_id:
            return table
        gone = f"its version {pinned.version}, which pass:{manifest.number} names, is gone: it was made anew or put back since"
        if self._as_of is not None:
            raise QueryError(f"{layer}.{name} can't be read as of {self._as_of.text}: {gone}.")
        if (newest := open_table(uri)) is not None:
            self._tell(f"{layer}.{name} is read at its newest version, {newest.version()}: {gone}. The next pass mends that.")
        return newest

    def _at_moment(self, layer: str, name: str, moment: datetime) -> DeltaTable | None:
        """Open a table at the version that it had at a moment."""
        table = open_table(self._root.table(layer, name))
        if table is None:
            return None
        assert self._as_of is not None, "only then a moment is asked for"
        missing = QueryError(
            f"{layer}.{name} can't be read as of {self._as_of.text}: it is younger, or its log was shortened since."
        )
        created = table.metadata().created_time
        if created is not None and datetime.fromtimestamp(created / 1000, UTC) > moment:
            raise missing
        newest = table.version()
        table.load_as_version(moment)
        [*_, commit] = table.history(newest - table.version() + 1) or [{}]
        # If the log does not go back to the moment, delta-rs takes the oldest version that there is.
        if datetime.fromtimestamp(commit.get("timestamp", 0) / 1000, UTC) > moment:
            raise missing
        return table
