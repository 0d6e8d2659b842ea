"""The book of incidents: what is or was wrong, and who has been told. A Delta table, `ops/incidents`.

What is wrong is found anew each time; the book only says since when, and what each channel has taken. Its rows are few, so each change
replaces all of them in one commit, which fails if another process has committed meanwhile: two processes never tell the same thing
because neither knew of the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from deltalake import DeltaTable

from lakehouse_assets.delta.duck import connect, parquet
from lakehouse_assets.delta.tables import ensure_table, file_paths, newest_table, replace_rows_at, until_committed
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Notice:
    """What a channel knows of an incident. All times are in UTC.

    `told` is what it has taken last: nothing (""), that the incident is `open`, or that it is `over`; `times` is how many messages said
    that it is open, `at` when the last one was taken. `tries` counts the messages since that were not taken, the last one at `tried`.
    Until `claimed`, a process is sending a message.
    """

    channel: str
    told: str = ""
    times: int = 0
    at: datetime | None = None
    tries: int = 0
    tried: datetime | None = None
    claimed: datetime | None = None


@dataclass(frozen=True)
class IncidentRecord:
    """An incident: its kind, where it is, what is wrong. All times are in UTC.

    It has been wrong `since`, was noticed when it was `opened`, is absent since `cleared` (None while it is there), and counts as over
    since `closed`. `returns` is how often it came back after it was absent. `notices` are by channel.
    """

    key: str
    kind: str
    place: str
    what: str
    link: str
    since: datetime
    opened: datetime
    cleared: datetime | None = None
    closed: datetime | None = None
    returns: int = 0
    notices: tuple[Notice, ...] = ()

    def notice(self, channel: str) -> Notice | None:
        """Return what a channel knows of it; None if it is not meant for that channel."""
        return next((notice for notice in self.notices if notice.channel == channel), None)


IncidentRecords = Mapping[str, IncidentRecord]
"""Incidents by their keys."""


@dataclass(frozen=True)
class Incidents:
    """Reads and changes the incidents of a root."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("ops", "incidents")

    def read(self) -> IncidentRecords:
        """All incidents that are open, or were closed not long ago."""
        return self._read(newest_table(self.uri))

    def update(self, change: Callable[[IncidentRecords], IncidentRecords], run_id: str) -> IncidentRecords:
        """Change the incidents, and return them. If another process is quicker, `change` is asked again, about what that one left.

        Raises:
            CommitFailedError: another process was quicker at every attempt.
        """

        def attempt() -> IncidentRecords:
            current = self.read()
            new = change(current)
            if new == current:
                return current
            import pyarrow as pa

            ensure_table(self.uri, incidents_schema(), "What is or was wrong, and who has been told", partition_by=())
            opened = DeltaTable(self.uri)  # the current version: any later write of another process makes the one below fail
            if (meanwhile := self._read(opened)) != current:
                new = change(meanwhile)
            rows = pa.Table.from_pylist([asdict(record) for record in new.values()], schema=incidents_schema())
            replace_rows_at(opened, self.uri, rows, predicate="true", key=uuid4().hex, run_id=run_id)
            return new

        return until_committed(attempt)

    def _read(self, table: DeltaTable | None) -> IncidentRecords:
        files = [] if table is None else file_paths(table, self.uri)
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"FROM {parquet(files)}")
            names = [c[0] for c in rows.description or []]
            found = [_record(dict(zip(names, row, strict=True))) for row in rows.fetchall()]
        return {record.key: record for record in found}


def _record(row: dict[str, Any]) -> IncidentRecord:
    notices = tuple(Notice(**_in_utc(notice)) for notice in row.pop("notices") or ())
    return IncidentRecord(**_in_utc(row), notices=notices)


def _in_utc(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in values.items()}


def incidents_schema() -> "pa.Schema":
    """The Arrow schema of the table: the fields of `IncidentRecord`."""
    import pyarrow as pa

    text, moment, number = pa.string(), pa.timestamp("us", "UTC"), pa.int64()
    notice = {
        "channel": text,
        "told": text,
        "times": number,
        "at": moment,
        "tries": number,
        "tried": moment,
        "claimed": moment,
    }
    return pa.schema(
        [
            ("key", text),
            ("kind", text),
            ("place", text),
            ("what", text),
            ("link", text),
            ("since", moment),
            ("opened", moment),
            ("cleared", moment),
            ("closed", moment),
            ("returns", number),
            ("notices", pa.list_(pa.struct(list(notice.items())))),
        ]
    )
