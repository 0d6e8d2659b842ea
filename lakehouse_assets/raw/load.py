"""Loads landing objects as raw rows: decides which files of a partition to read, and records what it was built from.

Partition d of a raw table is a function of the landing objects dated d. Only files that are new or changed since the partition
was built are read; exactly the rows of changed and deleted files are replaced. If files have equal bytes, the first by name is
loaded. The others are its duplicates, and one of them replaces it if it changes or is deleted.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING

from lakehouse_assets.books.ledger import LandedFile, Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import new_batch
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
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

_MAX_READS = 3

_PROGRESS_SECONDS, _LARGE_BYTES = 2.0, 20_000_000
"""How often a run logs its progress, and the size from which it logs a file: a log line costs as much as reading a small file."""


@dataclass(frozen=True)
class FileDifference:
    """The difference between landing and the files that one raw partition was built from."""

    date: date
    read: list[LandingObject]
    """Files to read: new or changed ones, or all of them if the reader or the feed has changed."""
    vanished: list[str]
    kept: list[LandedFile]
    known: dict[str, LandedFile]
    """Files by name whose rows are live in the table, as the current reader reads them."""
    whole: bool
    """Whether to replace all rows of the date: the reader or the feed has changed, or the table differs from its record."""
    objects: list[LandingObject]
    """All files of the date, including the kept ones."""


@dataclass
class LandedRows:
    """The result of loading: the rows of the files read, the rejected rows, and what each partition is now built from.

    `rows`: the source's columns as text, `_source_file`, `_source_etag`, `_row_number` (int64), `_date` (date32).
    `rejects`: the fields of `Reject`, `date`, `source_file` and `batch` (see `Quarantine`).
    """

    rows: "pa.Table"
    rejects: "pa.Table"
    files: dict[date, list[LandedFile]]
    fingerprints: dict[date, str]
    replaced: dict[date, set[str] | None]
    """The files whose rows are removed or added, by date; None if all rows of the date are replaced."""
    base: Mapping[date, str] = field(default_factory=dict)
    """The table's content on each date (see `contents`) at the time of loading. If it has changed, load again."""
    load_again: "Callable[[], LandedRows] | None" = None
    """Loads again, from landing and the table as they are then."""
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
    """Compare landing with the built partitions of a raw table, for the given dates (all if None), by date.

    Files at `hidden` paths (see `Listing`) stay as they are: they can't be listed, but they may still exist.
    """
    by_date: dict[date, list[LandingObject]] = {}
    for obj in objects:
        by_date.setdefault(obj.date, []).append(obj)
    chosen = sorted(by_date.keys() | built.keys()) if dates is None else sorted(dates)
    compared = (_difference(feed, day, by_date.get(day, []), built.get(day), hidden) for day in chosen)
    return [d for d in compared if d is not None]


def land(feed: Feed, root: Root, start: date, dates: Sequence[date], log: Logger) -> LandedRows:
    """Compare landing with the given partitions of the raw table, and read the files that differ.

    Raises:
        UnreadableError: the feed's folder can't be listed.
    """
    records = {key[2]: record for key, record in Ledger(root).read("raw", feed.table).items()}
    table = open_table(root.table("raw", feed.table))
    built = verified(root, "raw", feed.table, table, records)
    # List after opening the table: if another step commits newer files in between, this step's commit fails.
    landing = Landing(root)
    listing = landing.listing(feed.landing, start, dates)
    for path, reason in listing.ignored:
        log.warning(f"{path} is not loaded: {reason}.")
    if "" in listing.hidden:
        raise UnreadableError(*listing.ignored[0])
    rows = load(feed, landing, listing.objects, built, dates, log, listing.hidden)
    current = contents(root, "raw", feed.table, table)
    rows.base = {day: current.get(day, "") for day in rows.files}
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
    """Read new and changed files of the given partitions, and duplicates whose first file was deleted.

    A file that can't be read does not block the others. Its live rows stay; a date that must be replaced as a whole is postponed.
    """
    import pyarrow as pa

    tables: list[pa.Table] = []
    refused: list[pa.Table] = []
    landed = LandedRows(_empty_rows(feed), _stamped_rejects(None, None, None, rejects_table([])), {}, {}, {})
    batch = new_batch()
    to_load = differences(feed, objects, built, dates, hidden)
    total = sum(len(d.read) for d in to_load)
    log.info(f"Files to read: {total:,}")
    done, last_logged = 0, time.monotonic()
    for difference in to_load:
        done += len(difference.read)
        if time.monotonic() - last_logged > _PROGRESS_SECONDS:
            last_logged = time.monotonic()
            log.info(f"Reading {difference.date}, file {done:,} of {total:,}")
        day = _Day(feed, landing, difference, log)
        day.resolve()
        landed.unstable += day.unstable
        landed.unreadable += day.unreadable
        if day.unreadable and difference.whole and built[difference.date].content:
            log.warning(f"{difference.date} stays as it is until all of its files can be read.")
            continue
        for name, (parts, rejects) in sorted(day.read.items()):
            tables += parts
            if any(table.num_rows for table in rejects):
                day.files[name] = replace(day.files[name], batch=f"{batch}-{len(refused)}")
                refused.append(_stamped_rejects(difference.date, name, day.files[name].batch, pa.concat_tables(rejects)))
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


class _Day:
    """Resolves which files of one date are loaded, and which are duplicates."""

    def __init__(self, feed: Feed, landing: Landing, difference: FileDifference, log: Logger) -> None:
        self.files = {f.name: f for f in difference.kept}
        """The files that the partition is now built from, by name."""
        self.read: dict[str, tuple[list[pa.Table], list[pa.Table]]] = {}
        """Rows and rejects of loaded files that are not in the table yet."""
        self.unstable: list[str] = []
        self.unreadable: list[str] = []
        self._feed, self._landing, self._difference, self._log = feed, landing, difference, log
        self._objects = {o.name: o for o in difference.objects}
        self._live_etags = {n: f.etag for n, f in difference.known.items() if not f.duplicate_of}
        """The MD5 of the files whose rows were live in the table before, by name."""

    def resolve(self) -> None:
        """Read files until `files` lists all that are loaded, and the rows of each are in the table or in `read`."""
        etags: set[str] = set()
        for obj in self._difference.read:
            self._read(obj)
            # Keep only one copy of equal rows.
            if obj.name in self.read and self.files[obj.name].etag in etags:
                del self.read[obj.name]
            elif obj.name in self.read:
                etags.add(self.files[obj.name].etag)
        self._mark_duplicates()
        # A duplicate replaces a file that has changed or was deleted. The duplicate may have changed too, and so on.
        while unread := [name for name, file in sorted(self.files.items()) if not self._has_rows(file)]:
            for name in unread:
                self._read(self._objects[name])
            self._mark_duplicates()
        for name, file in sorted(self.files.items()):
            before = self._difference.known.get(name)
            if file.duplicate_of and (before is None or before.duplicate_of != file.duplicate_of):
                path, first = self._objects[name].path, file.duplicate_of
                self._log.warning(f"{path} is not loaded: it has the same bytes as {first} of the same date.")

    def outgoing(self) -> set[str]:
        """Return the files whose live rows are to be removed from the table."""
        loaded = {name: f.etag for name, f in self.files.items() if not f.duplicate_of}
        return {name for name, etag in self._live_etags.items() if loaded.get(name) != etag}

    def _has_rows(self, file: LandedFile) -> bool:
        """Whether the file's rows are read or live, or not needed because it is a duplicate."""
        return bool(file.duplicate_of) or file.name in self.read or self._live_etags.get(file.name) == file.etag

    def _read(self, obj: LandingObject) -> None:
        """Read a file into `files` and `read`; if it can't be read or keeps changing, keep its live rows."""
        if obj.size > _LARGE_BYTES:
            self._log.info(f"Reading {obj.path} ({obj.size:,} bytes)")
        try:
            result = _read_stable(self._feed, self._landing, obj)
        except UnreadableError as error:
            self._log.warning(f"{shown(obj.path)} is not loaded: {error.reason}.")
            self.unreadable.append(obj.path)
            self._keep(obj)
            return
        if result is not None:
            file, parts, rejects = result
            if self._live_etags.get(file.name) == file.etag:
                # Uploaded again with the same bytes: its rows are live already.
                self.files[file.name] = replace(file, batch=self._difference.known[file.name].batch)
            else:
                self.files[file.name] = file
                self.read[file.name] = parts, rejects
            return
        self.unstable.append(obj.path)
        self._keep(obj)

    def _keep(self, obj: LandingObject) -> None:
        """Keep a file that can't be read as it is in the table; forget it if it has no live rows."""
        before = self._difference.known.get(obj.name)
        if before is None or obj.name not in self._live_etags:
            self.files.pop(obj.name, None)
        else:
            # Its old rows stay live until it can be read; an empty version makes the next pass try again.
            self.files[obj.name] = replace(before, version="")

    def _mark_duplicates(self) -> None:
        """Mark each file as loaded, or as the duplicate of the first file with the same bytes."""
        first: dict[str, str] = {}
        for name in sorted(self.files):
            file = self.files[name]
            original = first.setdefault(file.etag, name) if file.size else name
            batch = self._difference.known[name].batch if self._live_etags.get(name) == file.etag else ""
            self.files[name] = (
                replace(file, duplicate_of="", batch=batch)
                if original == name
                else replace(file, duplicate_of=original, batch="")
            )
            if original != name:
                self.read.pop(name, None)


def _difference(
    feed: Feed, day: date, objects: list[LandingObject], record: PartitionRecord | None, hidden: Collection[str]
) -> FileDifference | None:
    """Compare one date with its record; None if nothing differs, or if hidden files postpone a full replacement."""
    known = {f.name: f for f in record.files} if record else {}
    unseen = {name for name in known if _is_hidden(f"{day}/{name}", hidden)}
    replaces_all = record is not None and record.fingerprint != raw_fingerprint(feed, record.files)
    if replaces_all and unseen:
        return None  # the live rows of the hidden files would be lost
    unchanged = unseen | {o.name for o in objects if not replaces_all and o.name in known and known[o.name].version == o.version}
    read = [o for o in objects if o.name not in unchanged]
    vanished = sorted(known.keys() - {o.name for o in objects} - unseen)
    if not read and not vanished and not replaces_all:
        return None
    return FileDifference(
        day, read, vanished, [known[name] for name in sorted(unchanged)], {} if replaces_all else known, replaces_all, objects
    )


def _is_hidden(path: str, hidden: Collection[str]) -> bool:
    """Whether a path is at or below one of the hidden paths."""
    return any(h in ("", path) or path.startswith(f"{h}/") for h in hidden)


def _read_stable(feed: Feed, landing: Landing, obj: LandingObject) -> "tuple[LandedFile, list[pa.Table], list[pa.Table]] | None":
    """Read an object again until it does not change during the read; None if it was deleted or keeps changing.

    Raises:
        UnreadableError: it can't be read.
    """
    version: str | None = obj.version
    for _ in range(_MAX_READS):
        etag, size = content_etag(), 0

        def counted(etag: "hashlib._Hash" = etag) -> Iterator[bytes]:
            nonlocal size
            for piece in landing.read(obj):
                etag.update(piece)
                size += len(piece)
                yield piece

        try:
            pieces = counted()
            batches = list(read_rows(pieces, feed))
            for _ in pieces:  # a reader may refuse a file early, but the hash covers all of it
                pass
        except FileNotFoundError:
            return None
        after = landing.version(obj)
        if after == version:
            rows_in = sum(b.rows_in for b in batches)
            rows_out = sum(b.rows.num_rows for b in batches)
            file = LandedFile(obj.name, obj.version, etag.hexdigest(), size, rows_in, rows_out)
            return file, [_stamped(b, obj, file) for b in batches], [b.rejects for b in batches]
        version = after
    return None


def _stamped(batch: Batch, obj: LandingObject, file: LandedFile) -> "pa.Table":
    """Return the rows of a batch with the provenance columns added."""
    import pyarrow as pa

    rows, count = batch.rows, batch.rows.num_rows
    numbers = rows.column(ROW)
    return (
        rows.drop_columns([ROW])
        .append_column(FILE, pa.repeat(pa.scalar(obj.name), count))
        .append_column(ETAG, pa.repeat(pa.scalar(file.etag), count))
        .append_column(ROW, numbers)
        .append_column(DATE_COLUMN, pa.repeat(pa.scalar(obj.date, pa.date32()), count))
    )


def _stamped_rejects(day: date | None, name: str | None, batch: str | None, rejects: "pa.Table") -> "pa.Table":
    """Return the rejects of a file with their date, source file and batch added."""
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
    """Return an empty table with the columns of the feed's raw table: it is created even before the first row."""
    import pyarrow as pa

    text = [(name, pa.string()) for name in feed.column_names]
    own = [(name, type_of(kind).in_arrow) for name, kind in typed_columns(IN_RAW).items()]
    return pa.schema([*text, *own]).empty_table()
