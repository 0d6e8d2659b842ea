"""From landing objects to raw rows: which files of a partition to read, and what a partition was built from.

Partition d of a raw table is a function of the landing objects dated d. Only files that are new or changed since the partition was
built are read; rows of changed and vanished files are replaced exactly. Of files with equal bytes the first by name is loaded; the
others are its duplicates, and one takes its place where it changes or vanishes.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING

from lakehouse_assets.books.ledger import LandedFile, Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import new_batch
from lakehouse_assets.books.records import contents, verified
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import DATE_COLUMN, ETAG, FILE, IN_RAW, ROW, typed_columns
from lakehouse_assets.contracts.types import type_of
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.landing.objects import Landing, LandingObject, content_etag, shown
from lakehouse_assets.raw.readers.batch import Batch, rejects_table
from lakehouse_assets.raw.readers.formats import read_rows
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa

READER_VERSION = "3"
"""Changes when the readers would make other rows of the same bytes; every raw partition is then built again."""

_READS_OF_A_CHANGING_FILE = 3

_PROGRESS_SECONDS, _LARGE_BYTES = 2.0, 20_000_000
"""How often a run tells how far it is, and from what size on it names a file: each line costs as much as reading a small one."""


@dataclass(frozen=True)
class FileDifference:
    """How landing differs from what one raw partition was built from, by file name."""

    date: date
    read: list[LandingObject]
    """New or changed since, or all where the reading itself changed."""
    vanished: list[str]
    kept: list[LandedFile]
    known: dict[str, LandedFile]
    """The files whose rows, read the same way as now, stand in the table."""
    whole: bool
    """All rows of the date are replaced: they are read another way now, or the table is not as its record says."""
    objects: list[LandingObject]
    """All files of the date, the kept ones too."""


@dataclass
class LandedRows:
    """What a raw asset returns: the rows of the files that were read, the rows refused, and what each partition is now built from.

    `rows`: the source's columns as text, `_source_file`, `_source_etag`, `_row_number` (int64), `_date` (date32).
    `rejects`: the fields of `Reject`, `date`, `source_file` and `batch` (see `Quarantine`).
    """

    rows: "pa.Table"
    rejects: "pa.Table"
    files: dict[date, list[LandedFile]]
    fingerprints: dict[date, str]
    replaced: dict[date, set[str] | None]
    """The files whose rows leave the table or come into it, by date; None where all rows of the date do."""
    base: Mapping[date, str] = field(default_factory=dict)
    """What each of these dates held in the table (see `contents`) when this was worked out: else it is to be worked out anew."""
    load_again: "Callable[[], LandedRows] | None" = None
    """Works all of this out anew, from landing and table as they are then."""
    new_columns: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def differences(
    feed: Feed,
    objects: Sequence[LandingObject],
    built: dict[date, PartitionRecord],
    dates: Iterable[date] | None = None,
    hidden: Collection[str] = (),
) -> list[FileDifference]:
    """Where landing and the built partitions of a raw table differ, in the order of the dates; of all dates where None.

    Files at `hidden` places (see `Listing`) stay as they are: that they can't be seen does not mean that they are gone.
    """
    by_date: dict[date, list[LandingObject]] = {}
    for found in objects:
        by_date.setdefault(found.date, []).append(found)
    chosen = sorted(by_date.keys() | built.keys()) if dates is None else sorted(dates)
    found_differences = (_difference(feed, day, by_date.get(day, []), built.get(day), hidden) for day in chosen)
    return [d for d in found_differences if d is not None]


def land(feed: Feed, root: Root, start: date, dates: Sequence[date], log: Logger) -> LandedRows:
    """Compare landing with the given partitions of the raw table, and read what differs.

    Raises:
        UnreadableError: the feed's folder can't be listed.
    """
    records = {key[2]: record for key, record in Ledger(root).read("raw", feed.table).items()}
    table = open_table(root.table("raw", feed.table))
    built = verified(root, "raw", feed.table, table, records)
    # Listed after the table was opened: whoever commits newer files meanwhile makes this one's commit fail.
    landing = Landing(root)
    listing = landing.listing(feed.landing, start, dates)
    for path, reason in listing.ignored:
        log.warning(f"{path} is not loaded: {reason}.")
    if "" in listing.hidden:
        raise UnreadableError(*listing.ignored[0])
    rows = load(feed, landing, listing.objects, built, dates, log, listing.hidden)
    now = contents(root, "raw", feed.table, table)
    rows.base = {day: now.get(day, "") for day in rows.files}
    rows.load_again = partial(land, feed, root, start, dates, log)
    return rows


def load(
    feed: Feed,
    landing: Landing,
    objects: Sequence[LandingObject],
    built: dict[date, PartitionRecord],
    dates: Sequence[date],
    log: Logger,
    hidden: Collection[str] = (),
) -> LandedRows:
    """Read what is new or changed in the given partitions, and duplicates whose first file is gone.

    A file that can't be read keeps none of the others back. What stands of it stays; a date that is to be replaced as a whole waits.
    """
    import pyarrow as pa

    tables: list[pa.Table] = []
    refused: list[pa.Table] = []
    landed = LandedRows(_empty_rows(feed), _rejects_of(None, None, None, rejects_table([])), {}, {}, {})
    batch = new_batch()
    found_differences = differences(feed, objects, built, dates, hidden)
    total = sum(len(d.read) for d in found_differences)
    log.info(f"Files to read: {total:,}")
    done, told = 0, time.monotonic()
    for difference in found_differences:
        done += len(difference.read)
        if time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            log.info(f"Reading {difference.date}, file {done:,} of {total:,}")
        day = _Day(feed, landing, difference, log)
        day.settle()
        landed.unstable += day.unstable
        landed.unreadable += day.unreadable
        if day.unreadable and difference.whole and built[difference.date].content:
            log.warning(f"{difference.date} stays as it is until all of its files can be read.")
            continue
        for name, (parts, rejects) in sorted(day.read.items()):
            tables += parts
            if any(table.num_rows for table in rejects):
                day.files[name] = replace(day.files[name], batch=f"{batch}-{len(refused)}")
                refused.append(_rejects_of(difference.date, name, day.files[name].batch, pa.concat_tables(rejects)))
        landed.files[difference.date] = [day.files[name] for name in sorted(day.files)]
        landed.fingerprints[difference.date] = raw_fingerprint(feed, landed.files[difference.date])
        if difference.whole:
            landed.replaced[difference.date] = None
        elif replaced := day.read.keys() | day.outgoing():
            landed.replaced[difference.date] = set(replaced)
    landed.rows = pa.concat_tables([landed.rows, *tables], promote_options="default")
    landed.rejects = pa.concat_tables([landed.rejects, *refused])
    known = set(landed.rows.schema.names[: len(feed.columns) + len(IN_RAW)])
    landed.new_columns = [name for name in landed.rows.schema.names if name not in known]
    return landed


def raw_fingerprint(feed: Feed, files: Sequence[LandedFile]) -> str:
    """What the rows of a raw partition were built from: names and bytes of the files that were loaded, and the way of reading them."""
    facts = [READER_VERSION, feed.digest(), sorted((f.name, f.etag) for f in files if not f.duplicate_of)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


class _Day:
    """The files of one date, until it is settled which of them are loaded and which are duplicates."""

    def __init__(self, feed: Feed, landing: Landing, difference: FileDifference, log: Logger) -> None:
        self.files = {f.name: f for f in difference.kept}
        """What the partition is now built from."""
        self.read: dict[str, tuple[list[pa.Table], list[pa.Table]]] = {}
        """The rows and rejects of files that were read and are loaded, where they don't stand in the table already."""
        self.unstable: list[str] = []
        self.unreadable: list[str] = []
        self._feed, self._landing, self._difference, self._log = feed, landing, difference, log
        self._objects = {o.name: o for o in difference.objects}
        self._standing = {n: f.etag for n, f in difference.known.items() if not f.duplicate_of}
        """The bytes of the files whose rows stand in the table before this."""

    def settle(self) -> None:
        """Read what has to be read; after that `files` says what is loaded, and all rows of it stand or are in `read`."""
        held: set[str] = set()
        for found in self._difference.read:
            self._take(found)
            # No more than one copy of equal rows is kept.
            if found.name in self.read and self.files[found.name].etag in held:
                del self.read[found.name]
            elif found.name in self.read:
                held.add(self.files[found.name].etag)
        self._mark_duplicates()
        # A duplicate takes the place of a file that has changed or vanished. It may have changed itself meanwhile, and so on.
        while due := [name for name, file in sorted(self.files.items()) if not self._is_there(file)]:
            for name in due:
                self._take(self._objects[name])
            self._mark_duplicates()
        for name, file in sorted(self.files.items()):
            before = self._difference.known.get(name)
            if file.duplicate_of and (before is None or before.duplicate_of != file.duplicate_of):
                path, first = self._objects[name].path, file.duplicate_of
                self._log.warning(f"{path} is not loaded: it has the same bytes as {first} of the same date.")

    def outgoing(self) -> set[str]:
        """The files whose rows stand in the table and leave it."""
        loaded = {name: f.etag for name, f in self.files.items() if not f.duplicate_of}
        return {name for name, etag in self._standing.items() if loaded.get(name) != etag}

    def _is_there(self, file: LandedFile) -> bool:
        return bool(file.duplicate_of) or file.name in self.read or self._standing.get(file.name) == file.etag

    def _take(self, found: LandingObject) -> None:
        if found.size > _LARGE_BYTES:
            self._log.info(f"Reading {found.path} ({found.size:,} bytes)")
        try:
            result = _read_stable(self._feed, self._landing, found)
        except UnreadableError as error:
            self._log.warning(f"{shown(found.path)} is not loaded: {error.reason}.")
            self.unreadable.append(found.path)
            self._leave(found)
            return
        if result is not None:
            file, parts, rejects = result
            if self._standing.get(file.name) == file.etag:
                # Uploaded again with the same bytes: its rows stand already.
                self.files[file.name] = replace(file, batch=self._difference.known[file.name].batch)
            else:
                self.files[file.name] = file
                self.read[file.name] = parts, rejects
            return
        self.unstable.append(found.path)
        self._leave(found)

    def _leave(self, found: LandingObject) -> None:
        before = self._difference.known.get(found.name)
        if before is None or found.name not in self._standing:
            self.files.pop(found.name, None)
        else:
            # Its old rows stand until it can be read; without a version the next pass tries again.
            self.files[found.name] = replace(before, version="")

    def _mark_duplicates(self) -> None:
        first: dict[str, str] = {}
        for name in sorted(self.files):
            file = self.files[name]
            of = first.setdefault(file.etag, name) if file.size else name
            batch = self._difference.known[name].batch if self._standing.get(name) == file.etag else ""
            self.files[name] = (
                replace(file, duplicate_of="", batch=batch) if of == name else replace(file, duplicate_of=of, batch="")
            )
            if of != name:
                self.read.pop(name, None)


def _difference(
    feed: Feed, day: date, objects: list[LandingObject], record: PartitionRecord | None, hidden: Collection[str]
) -> FileDifference | None:
    known = {f.name: f for f in record.files} if record else {}
    unseen = {name for name in known if _is_hidden(f"{day}/{name}", hidden)}
    whole = record is not None and record.fingerprint != raw_fingerprint(feed, record.files)
    if whole and unseen:
        return None  # what stands of the files that can't be seen would be lost
    unchanged = unseen | {o.name for o in objects if not whole and o.name in known and known[o.name].version == o.version}
    read = [o for o in objects if o.name not in unchanged]
    vanished = sorted(known.keys() - {o.name for o in objects} - unseen)
    if not read and not vanished and not whole:
        return None
    return FileDifference(
        day, read, vanished, [known[name] for name in sorted(unchanged)], {} if whole else known, whole, objects
    )


def _is_hidden(place: str, hidden: Collection[str]) -> bool:
    return any(h in ("", place) or place.startswith(f"{h}/") for h in hidden)


def _read_stable(
    feed: Feed, landing: Landing, found: LandingObject
) -> "tuple[LandedFile, list[pa.Table], list[pa.Table]] | None":
    """The rows of an object that did not change while it was read; None where it is gone or won't stand still.

    Raises:
        UnreadableError: it can't be read.
    """
    version: str | None = found.version
    for _ in range(_READS_OF_A_CHANGING_FILE):
        etag, size = content_etag(), 0

        def counted(etag: "hashlib._Hash" = etag) -> Iterator[bytes]:
            nonlocal size
            for piece in landing.read(found):
                etag.update(piece)
                size += len(piece)
                yield piece

        try:
            pieces = counted()
            batches = list(read_rows(pieces, feed))
            for _ in pieces:  # a reader need not see all of a file to refuse it, but its hash is that of all
                pass
        except FileNotFoundError:
            return None
        after = landing.version(found)
        if after == version:
            rows_in = sum(b.rows_in for b in batches)
            rows_out = sum(b.rows.num_rows for b in batches)
            file = LandedFile(found.name, found.version, etag.hexdigest(), size, rows_in, rows_out)
            return file, [_stamped(b, found, file) for b in batches], [b.rejects for b in batches]
        version = after
    return None


def _stamped(batch: Batch, found: LandingObject, file: LandedFile) -> "pa.Table":
    """The rows with the columns that say where they come from."""
    import pyarrow as pa

    rows, count = batch.rows, batch.rows.num_rows
    numbers = rows.column(ROW)
    return (
        rows.drop_columns([ROW])
        .append_column(FILE, pa.repeat(pa.scalar(found.name), count))
        .append_column(ETAG, pa.repeat(pa.scalar(file.etag), count))
        .append_column(ROW, numbers)
        .append_column(DATE_COLUMN, pa.repeat(pa.scalar(found.date, pa.date32()), count))
    )


def _rejects_of(day: date | None, name: str | None, batch: str | None, rejects: "pa.Table") -> "pa.Table":
    """The rejects of a file with the columns that say where they come from, and in which batch they go."""
    import pyarrow as pa

    own = {
        "date": pa.scalar(day, pa.date32()),
        "source_file": pa.scalar(name, pa.string()),
        "batch": pa.scalar(batch, pa.string()),
    }
    for column, value in own.items():
        rejects = rejects.append_column(column, pa.repeat(value, rejects.num_rows))
    return rejects


def _empty_rows(feed: Feed) -> "pa.Table":
    """No rows of the columns that every raw table of the feed has, so that a table exists even before its first row."""
    import pyarrow as pa

    text = [(name, pa.string()) for name in feed.column_names]
    own = [(name, type_of(kind).in_arrow) for name, kind in typed_columns(IN_RAW).items()]
    return pa.schema([*text, *own]).empty_table()
