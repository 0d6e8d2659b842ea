"""Lists, reads and puts landing objects. `raw/` parses their bytes."""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError

from lakehouse_assets.errors import LandingError, UnreadableError
from lakehouse_assets.landing.store import Store, Stored, landing_store
from lakehouse_assets.store.errors import explained
from lakehouse_assets.store.root import Root

_OUTSIDE_FEEDS = "it is beside the folders of the feeds, not in one: move it to landing/<system>/<entity>/<date>/"
_UNFINISHED = re.compile(r"(^|/)[._]|\.(tmp|part|partial|crdownload|filepart)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class LandingObject:
    """An object under a date. `version` is the store's etag, or what a folder has instead: each upload changes it."""

    landing: str
    date: date
    name: str
    version: str
    size: int

    @property
    def path(self) -> str:
        """The key, relative to the root."""
        return f"landing/{self.landing}/{self.date.isoformat()}/{self.name}"


@dataclass(frozen=True)
class Listing:
    """The content of a landing folder: the objects to load, and the paths that can't be loaded, each with the reason.

    `until` is the last date listed, if the listing stopped before the last date requested. The paths in `hidden` (`date`,
    `date/name`, or "" for everything) could not be read: don't treat files below them as deleted.
    """

    objects: list[LandingObject]
    ignored: list[tuple[str, str]]
    until: date | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Landing:
    """The landing zone of a root."""

    root: Root

    @cached_property
    def _home(self) -> Root:
        return self.root.of_landing

    def dates(self, landing: str, start: date) -> list[date]:
        """Return the dates of one feed (`crm/customers`) that have a folder, sorted. Does not list what is in the folders.

        Raises:
            UnreadableError: the feed's folder can't be listed.
        """
        today = datetime.now(UTC).date()
        with explained(self._home, "list landing"):
            days = (_date(folder, start, today) for folder in self._store.folders(f"landing/{landing}/"))
            return sorted(day for day in days if isinstance(day, date))

    def listing(self, landing: str, start: date, dates: Sequence[date] | None = None, *, at_least: int | None = None) -> Listing:
        """List the objects of one feed from the first to the last of the given dates (all dates if None), by date and name.

        `at_least` stops the listing after the date on which that many objects are reached. Hidden and unfinished names (`.x`,
        `_x`, `x.tmp`, `x.part`) are skipped silently: they are still being written. Everything else that can't be loaded is
        reported with the reason.
        """
        if dates is not None and not dates:
            return Listing([], [])
        first, last = (min(dates).isoformat(), max(dates).isoformat()) if dates else ("", "")
        prefix, today = f"landing/{landing}/", datetime.now(UTC).date()
        objects: list[LandingObject] = []
        ignored: list[tuple[str, str]] = []
        hidden: list[str] = []
        until: date | None = None
        with explained(self._home, "list landing"):
            for stored in self._store.found(prefix, first, last):
                parsed = _parse(landing, stored, start, today)
                if stored.is_unreadable:
                    hidden.append(f"{stored.key}/".removeprefix(prefix).rstrip("/"))
                if isinstance(parsed, str):
                    ignored.append((shown(stored.key), parsed))
                elif parsed is not None:
                    if at_least is not None and len(objects) >= at_least and parsed.date != objects[-1].date:
                        until = objects[-1].date
                        break
                    objects.append(parsed)
        return Listing(sorted(objects, key=lambda o: (o.date, o.name)), sorted(ignored), until, tuple(hidden))

    def strangers(self, landings: Collection[str], system: str | None = None) -> list[tuple[str, str]]:
        """Return the folders and files that are in no feed's folder and are therefore never loaded, each with what to do.

        With `system`, look only in that system's folder; with "", only beside the systems' folders.
        """
        known = sorted(landings)
        above = {"", *(f"{'/'.join(parts[:n])}/" for parts in (name.split("/") for name in known) for n in range(1, len(parts)))}
        strangers: list[tuple[str, str]] = []
        with explained(self._home, "list landing"):
            for parent in sorted(above if system is None else above & {f"{system}/" if system else ""}):
                try:
                    folders, files = self._store.level(f"landing/{parent}")
                except UnreadableError as error:
                    strangers.append((shown(error.key), error.reason))
                    continue
                strange = [f"{parent}{f}" for f in folders if f"{parent}{f}" not in known and f"{parent}{f}/" not in above]
                strangers += [(shown(f"landing/{name}/"), _no_feed(name, known)) for name in strange]
                strangers += [(shown(f"landing/{parent}{name}"), _OUTSIDE_FEEDS) for name in files]
        return [(path, reason) for path, reason in strangers if not _UNFINISHED.search(path.rstrip("/"))]

    def read(self, landed: LandingObject) -> Iterator[bytes]:
        """Yield the bytes of an object, in chunks of a few MiB.

        Raises:
            FileNotFoundError: it was deleted after it was listed.
            UnreadableError: it can't be read, although the store answers.
        """
        return self._store.read(landed.path)

    def beginning(self, landed: LandingObject, size: int) -> bytes:
        """Return the first `size` bytes of an object, or all of them if it has fewer.

        Raises:
            FileNotFoundError: it was deleted after it was listed.
            SettingsError: the store refused.
        """
        with explained(self._home, "read landing"):
            return bytes(obstore.get_range(self._home.store, landed.path, start=0, length=min(size, landed.size)))

    def version(self, landed: LandingObject) -> str | None:
        """Return the object's current version (see `LandingObject`), or None if it was deleted.

        Raises:
            UnreadableError: the object can't be inspected, although the store answers.
        """
        stored = self._store.state(landed.path)
        return stored.version if stored else None

    def size(self, landing: str, day: date, name: str) -> int | None:
        """Return the size in bytes of the object with that name, or None if there is none."""
        stored = self._store.state(f"landing/{landing}/{day.isoformat()}/{name}")
        return stored.size if stored else None

    def put(self, landing: str, day: date, file: Path) -> str:
        """Copy a local file into landing under its own name, and return its key relative to the root.

        Raises:
            LandingError: there is no such file, or a file with its name would be ignored or can't be written.
        """
        if not file.is_file():
            raise LandingError(f"{file} is not a file: nothing was landed for it.")
        if _UNFINISHED.search(file.name) or self._store.is_staged(file.name):
            raise LandingError(f"{file.name} has the name of a hidden or unfinished file, which is never loaded: rename it.")
        key = f"landing/{landing}/{day.isoformat()}/{file.name}"
        try:
            with explained(self._home, "write landing"):
                obstore.put(self._home.store, key, file)
        except ValueError:
            raise LandingError(f"{shown(file.name)!r} can't be written under this name: rename the file.") from None
        return key

    def put_alone(self, deliveries: Sequence[tuple[str, date, Path]], start: date) -> None:
        """Copy local files into landing, each with its feed and date, if it has no other files of these feeds from `start` on.

        Files that are there already with the same bytes are left alone.

        Raises:
            LandingError: there are other files, or files of these names with other bytes. Nothing was landed.
        """
        given = {(landing, day, file.name): file for landing, day, file in deliveries}
        landed = [
            found for landing in sorted({landing for landing, _, _ in given}) for found in self.listing(landing, start).objects
        ]
        there = {(o.landing, o.date, o.name): o for o in landed}
        others = [o for key, o in there.items() if key not in given or not self._holds(o, given[key])]
        if others:
            systems = ", ".join(sorted({o.landing.partition("/")[0] for o in others}))
            raise LandingError(
                f"Nothing was landed: {self._home.path('landing')} has other files of {systems}, such as "
                f"{shown(others[0].path)}. Set LAKEHOUSE_ROOT to a root that has none."
            )
        for (landing, day, _), file in given.items():
            if (landing, day, file.name) not in there:
                self.put(landing, day, file)

    def _holds(self, landed: LandingObject, file: Path) -> bool:
        """Return whether an object has the bytes of a local file."""
        if landed.size != file.stat().st_size:
            return False
        etag = content_etag()
        for piece in self.read(landed):
            etag.update(piece)
        with file.open("rb") as local:
            return etag.digest() == hashlib.file_digest(local, content_etag).digest()

    def put_new(self, landing: str, day: date, name: str, content: bytes) -> bool:
        """Put an object into landing if there is none with its name, whole or not at all. Return whether it was put.

        Raises:
            SettingsError: the store refused.
        """
        try:
            with explained(self._home, "write landing"):
                obstore.put(self._home.store, f"landing/{landing}/{day.isoformat()}/{name}", content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    @cached_property
    def _store(self) -> Store:
        return landing_store(self._home)


def is_unfinished(path: str) -> bool:
    """Whether a path below landing is hidden or still being written, by its name, so that it is never loaded."""
    return _UNFINISHED.search(path) is not None


def content_etag() -> "hashlib._Hash":
    """Return a new hash that identifies an object's bytes: MD5, the ETag that S3 gives an object put in one part."""
    return hashlib.md5(usedforsecurity=False)


def shown(path: str) -> str:
    """Return a path for display: characters that a terminal or log would interpret are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def _no_feed(folder: str, known: Sequence[str]) -> str:
    """Explain that no feed has this folder, and suggest the nearest one that exists."""
    near = get_close_matches(folder, known, n=1)
    suggestion = f"did you mean {near[0]}?" if near else f"feeds land in {', '.join(known)}"
    return f"no feed lands there, so nothing in it is loaded: {suggestion}"


def _parse(landing: str, stored: Stored, start: date, today: date) -> LandingObject | str | None:
    """Return the landing object, or why it can't be loaded, or None if it is to be ignored silently."""
    path = stored.key.removeprefix(f"landing/{landing}/")
    if not {".", ".."}.isdisjoint(path.split("/")):
        return "its key has a folder `.` or `..`, which other programs resolve to another key"
    if _UNFINISHED.search(path):
        return None
    if stored.fault is not None:
        return stored.fault
    folder, _, name = path.partition("/")
    if not name:
        return "it is beside the date folders, not in one"
    day = _date(folder, start, today)
    return day if isinstance(day, str) else LandingObject(landing, day, name, stored.version, stored.size)


def _date(folder: str, start: date, today: date) -> date | str:
    """Return the date in a folder's name, or why the folder's files can't be loaded."""
    try:
        day = date.fromisoformat(folder)
    except ValueError:
        return f"its folder {folder!r} is not a date (YYYY-MM-DD)"
    if day.isoformat() != folder:
        return f"its folder {folder!r} is not a date (YYYY-MM-DD)"
    if day < start:
        return f"its date is before LAKEHOUSE_START_DATE ({start.isoformat()})"
    if day > today:
        # The partitions end with today: a run for this date could not start, and would hold up the others.
        return "its date is in the future (UTC): it is loaded on that day"
    return day
