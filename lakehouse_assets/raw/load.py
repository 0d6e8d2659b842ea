"""Loads landing objects as raw rows: decides which files of a partition to read, and records what it was built from.

Partition d of a raw table is a function of the landing objects dated d. Only files that are new or changed since the partition
was built are read; exactly the rows of changed and deleted files are replaced. If files have equal bytes, the first by name is
loaded. The others are its duplicates, and one of them replaces it if it changes or is deleted.

Files are hashed first: the hashes say which of them to load, and each row carries its file's. A small file's bytes are kept from then
on; a larger file is read a second time, and again if it has changed in between.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from logging import Logger

from lakehouse_assets.books.ledger import LandedFile, Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
from lakehouse_assets.books.records import contents, verified
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.delta.data_files import DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.landing.objects import Landing, LandingObject, content_etag, shown
from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.formats import read_rows
from lakehouse_assets.raw.stage import Stage, StagedDate, StagedFile
from lakehouse_assets.raw.totals import Totals, from_text, read_manifest, to_text

_MAX_READS = 3

_SMALL_BYTES, _KEPT_BYTES = 32 * 1024 * 1024, 64 * 1024 * 1024
"""Up to which size the bytes of a file are kept between hashing and parsing, and those of all files of a date together."""

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
    totals: str = ""
    """The control totals in the known files, see `PartitionRecord`."""


@dataclass(frozen=True)
class LoadedDate:
    """What one partition is now built from, and how its rows change."""

    files: list[LandedFile]
    fingerprint: str
    loaded: set[str]
    """The files whose rows are staged."""
    outgoing: set[str] | None
    """The files whose live rows are to be removed; None if all rows of the date are replaced."""
    totals: str = ""
    """The control totals in its files, see `PartitionRecord`."""

    @property
    def is_changed(self) -> bool:
        """Whether a row comes or goes."""
        return bool(self.loaded) or self.outgoing is None or bool(self.outgoing)


@dataclass
class Landed:
    """The result of loading: what each partition is now built from, and what its rows are: see `Stage`."""

    stage: Stage
    dates: dict[date, LoadedDate] = field(default_factory=dict)
    base: Mapping[date, str] = field(default_factory=dict)
    """The table's content on each date (see `contents`) at the time of loading. If it has changed, load again."""
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


def land(feed: Feed, target: Target, start: date, folder: DataFolder) -> Landed:
    """Compare landing with the target's partitions of the raw table, and stage the rows of the files that differ, in `folder`.

    Raises:
        UnreadableError: the feed's folder can't be listed.
    """
    root, log = target.root, target.log
    records = {key[2]: record for key, record in Ledger(root).read(target.layer, target.name).items()}
    table = open_table(target.uri)
    built = verified(root, target.layer, target.name, table, records)
    # List after opening the table: if another step commits newer files in between, this step's commit fails.
    landing = Landing(root)
    listing = landing.listing(feed.landing, start, target.dates)
    for path, reason in listing.ignored:
        log.warning(f"{path} is not loaded: {reason}.")
    if "" in listing.hidden:
        raise UnreadableError(*listing.ignored[0])
    with Quarantine(root).adding(target.run_id) as add_rejects:
        landed = load(landing, listing.objects, built, Stage(feed, target, folder, add_rejects), listing.hidden)
    current = contents(root, target.layer, target.name, table)
    landed.base = {day: current.get(day, "") for day in landed.dates}
    return landed


def load(
    landing: Landing,
    objects: Sequence[LandingObject],
    built: dict[date, PartitionRecord],
    stage: Stage,
    hidden: Collection[str] = (),
) -> Landed:
    """Stage new and changed files of the stage's partitions, and duplicates whose first file was deleted.

    A file that can't be read does not block the others. Its live rows stay; a date that must be replaced as a whole is postponed.
    """
    feed, log = stage.feed, stage.target.log
    landed = Landed(stage)
    to_load = differences(feed, objects, built, stage.target.dates, hidden)
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
        replaces_rows = difference.whole and built[difference.date].content != ""
        staged = None
        while staged is None and not (replaces_rows and day.unreadable):
            staged = day.stage(stage)
        landed.unstable += day.unstable
        landed.unreadable += day.unreadable
        if staged is None:
            log.warning(f"{difference.date} stays as it is until all of its files can be read.")
            continue
        staged.finish()
        files = [day.files[name] for name in sorted(day.files)]
        outgoing = None if difference.whole else day.outgoing()
        landed.dates[difference.date] = LoadedDate(files, raw_fingerprint(feed, files), day.loaded, outgoing, day.totals())
    return landed


class _Day:
    """Resolves which files of one date are loaded, and which are duplicates. Their hashes decide, before any is parsed."""

    def __init__(self, feed: Feed, landing: Landing, difference: FileDifference, log: Logger) -> None:
        self.files = {f.name: f for f in difference.kept}
        """The files that the partition is now built from, by name."""
        self.loaded: set[str] = set()
        """The files whose rows are staged."""
        self.unstable: list[str] = []
        self.unreadable: list[str] = []
        self._feed, self._landing, self._difference, self._log = feed, landing, difference, log
        self._objects = {o.name: o for o in difference.objects}
        self._live_etags = {n: f.etag for n, f in difference.known.items() if not f.duplicate_of}
        """The MD5 of the files whose rows were live in the table before, by name."""
        self._hashed: dict[str, _Content] = {}
        """What was read of files in this step, by name."""
        self._room = _KEPT_BYTES
        """How many bytes of further files may be kept."""
        self._totals: dict[str, Totals] = {**from_text(difference.totals)}
        """The control totals in files of the date, by the file that has them."""
        self._changes: Counter[str] = Counter()
        """How often a file had changed when it was read for the second time."""

    def resolve(self) -> None:
        """Read the hashes of files until `files` lists all that are loaded, and each is the one that was hashed or is live."""
        for obj in self._difference.read:
            self._hash(obj)
        self._settle()

    def stage(self, stage: Stage) -> StagedDate | None:
        """Stage the rows of the files to load. None if one has changed since it was hashed: then call it again."""
        staged = stage.begin(self._difference.date)
        for name in self._to_load():
            kept = self._parsed(self._objects[name], staged)
            if kept is None:
                self._hash_again(name)
                return None
            self.files[name] = replace(self.files[name], rows_in=kept.rows_in, rows_out=kept.rows_out, batch=kept.batch)
        self.loaded = set(self._to_load())
        for name, file in sorted(self.files.items()):
            first = self.files.get(file.duplicate_of, file)
            self.files[name] = replace(file, rows_in=first.rows_in, rows_out=first.rows_out)
            before = self._difference.known.get(name)
            if file.duplicate_of and (before is None or before.duplicate_of != file.duplicate_of):
                path = self._objects[name].path
                self._log.warning(f"{path} is not loaded: it has the same bytes as {file.duplicate_of} of the same date.")
        return staged

    def outgoing(self) -> set[str]:
        """Return the files whose live rows are to be removed from the table."""
        loaded = {name: f.etag for name, f in self.files.items() if not f.duplicate_of}
        return {name for name, etag in self._live_etags.items() if loaded.get(name) != etag}

    def totals(self) -> str:
        """Return the control totals of the partition, see `PartitionRecord`: those in the files that are loaded."""
        loaded = {name for name, file in self.files.items() if not file.duplicate_of}
        return to_text({name: totals for name, totals in self._totals.items() if name in loaded})

    def _to_load(self) -> list[str]:
        """Return the files whose rows belong to the partition and are not live, by name."""
        return [n for n, file in sorted(self.files.items()) if not file.duplicate_of and self._live_etags.get(n) != file.etag]

    def _settle(self) -> None:
        """Mark duplicates, and hash files that are to be loaded although their record says otherwise."""
        self._mark_duplicates()
        # A duplicate replaces a file that has changed or was deleted. The duplicate may have changed too, and so on.
        while unread := [name for name in self._to_load() if name not in self._hashed]:
            for name in unread:
                self._hash(self._objects[name])
            self._mark_duplicates()

    def _hash(self, obj: LandingObject) -> None:
        """Read a file's hash into `files`; if it can't be read or keeps changing, keep its live rows."""
        if obj.size > _LARGE_BYTES:
            self._log.info(f"Reading {obj.path} ({obj.size:,} bytes)")
        try:
            content = _read_stable(self._landing, obj, min(_SMALL_BYTES, self._room))
        except UnreadableError as error:
            self._log.warning(f"{shown(obj.path)} is not loaded: {error.reason}.")
            self.unreadable.append(obj.path)
            self._keep(obj)
            return
        if content is None:
            self.unstable.append(obj.path)
            self._keep(obj)
            return
        self._hashed[obj.name] = content
        self._room -= len(content.data or b"")
        if self._live_etags.get(obj.name) == content.etag:
            # Uploaded again with the same bytes: its rows are live already.
            self.files[obj.name] = replace(self._difference.known[obj.name], version=obj.version)
        else:
            self.files[obj.name] = LandedFile(obj.name, obj.version, content.etag, content.size, 0, 0)

    def _hash_again(self, name: str) -> None:
        """Hash a file that has changed since, but not for ever: give up on one that keeps changing."""
        obj = self._objects[name]
        self._changes[name] += 1
        if self._changes[name] < _MAX_READS:
            self._hash(obj)
        else:
            self.unstable.append(obj.path)
            self._keep(obj)
        self._settle()

    def _parsed(self, obj: LandingObject, staged: StagedDate) -> StagedFile | None:
        """Stage the rows of a file; None if it has changed since it was hashed."""
        content = self._hashed[obj.name]
        etag = content_etag()

        def checked() -> Iterator[bytes]:
            for piece in self._landing.read(obj):
                etag.update(piece)
                yield piece

        pieces = iter([content.data]) if content.data is not None else checked()
        file = staged.file(obj.name, content.etag)
        self._totals.pop(obj.name, None)
        try:
            try:
                if self._feed.is_manifest(obj.name):
                    self._totals[obj.name] = read_manifest(pieces, self._feed, obj.name, content.size, obj.date)
                else:
                    note = partial(self._note_total, obj.name)
                    for batch in read_rows(pieces, self._feed, obj.name, content.size, obj.date, note):
                        file.add(batch)
            except RefusedFileError as refusal:
                file = staged.file(obj.name, content.etag)
                file.add(refusal.batch)
            for _ in pieces:  # a reader may refuse a file early, but the hash covers all of it
                pass
        except (FileNotFoundError, UnreadableError):
            return None
        if content.data is None and etag.hexdigest() != content.etag:
            return None
        file.keep()
        return file

    def _note_total(self, name: str, rows: int | None) -> None:
        """Note the control total in the trailer of a file, None if it has no trailer."""
        self._totals[name] = {name: rows}

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
    kept = [known[name] for name in sorted(unchanged)]
    totals = record.totals if record and not replaces_all else ""
    return FileDifference(day, read, vanished, kept, {} if replaces_all else known, replaces_all, objects, totals)


def _is_hidden(path: str, hidden: Collection[str]) -> bool:
    """Whether a path is at or below one of the hidden paths."""
    return any(h in ("", path) or path.startswith(f"{h}/") for h in hidden)


@dataclass(frozen=True)
class _Content:
    """What was read of an object: the MD5 and number of its bytes, and the bytes themselves if they are few."""

    etag: str
    size: int
    data: bytes | None


def _read_stable(landing: Landing, obj: LandingObject, most: int) -> _Content | None:
    """Read an object again until it does not change during the read; None if it was deleted or keeps changing.

    Its bytes are kept if they are at most `most`.

    Raises:
        UnreadableError: it can't be read.
    """
    version: str | None = obj.version
    for _ in range(_MAX_READS):
        etag, size = content_etag(), 0
        kept: list[bytes] | None = []
        try:
            for piece in landing.read(obj):
                etag.update(piece)
                size += len(piece)
                if kept is not None and size <= most:
                    kept.append(piece)
                else:
                    kept = None
        except FileNotFoundError:
            return None
        after = landing.version(obj)
        if after == version:
            return _Content(etag.hexdigest(), size, None if kept is None else b"".join(kept))
        version = after
    return None
