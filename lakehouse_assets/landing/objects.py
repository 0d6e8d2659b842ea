"""Lists, reads and puts landing objects. What their bytes mean is the business of `raw/`."""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import obstore

from lakehouse_assets.errors import LandingError, UnreadableError
from lakehouse_assets.landing.store import Store, Stored, landing_store
from lakehouse_assets.store.errors import explained
from lakehouse_assets.store.root import Root

_BESIDE = "it lies beside the folders of the feeds, not in one: move it to landing/<system>/<entity>/<date>/"
_UNFINISHED = re.compile(r"(^|/)[._]|\.(tmp|part|partial|crdownload|filepart)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class LandingObject:
    """An object under a date. `version` is the store's own word for its state: a new upload has another one."""

    landing: str
    date: date
    name: str
    version: str
    size: int

    @property
    def path(self) -> str:
        """Its key below the root."""
        return f"landing/{self.landing}/{self.date.isoformat()}/{self.name}"


@dataclass(frozen=True)
class Listing:
    """What a landing folder holds: the objects to load, and those that can't be, each with the reason.

    `until` is the last date that was listed, where the listing ended before the dates asked for. What lies at the places in `hidden`
    (`date`, `date/name`, or "" for all of it) can't be known now: it is no reason to take anything for gone.
    """

    objects: list[LandingObject]
    ignored: list[tuple[str, str]]
    until: date | None = None
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Landing:
    """The landing zone below a root."""

    root: Root

    def dates(self, landing: str, start: date) -> list[date]:
        """The dates of one feed (`crm/customers`) that have a folder, in their order; what lies in the folders is not listed.

        Raises:
            UnreadableError: its folder can't be listed.
        """
        today = datetime.now(UTC).date()
        with explained(self.root, "list landing"):
            found = (_date(folder, start, today) for folder in self._store.folders(f"landing/{landing}/"))
            return sorted(day for day in found if isinstance(day, date))

    def listing(self, landing: str, start: date, dates: Sequence[date] | None = None, *, at_least: int | None = None) -> Listing:
        """The objects of one feed from the first to the last of the given dates, or of all, in the order of date and name.

        With `at_least` the listing ends with the date on which there are so many. Hidden and unfinished names (`.x`, `_x`, `x.tmp`,
        `x.part`) are passed over without a word: they are somebody's work in progress. All else that can't be loaded is named with
        the reason.
        """
        if dates is not None and not dates:
            return Listing([], [])
        first, last = (min(dates).isoformat(), max(dates).isoformat()) if dates else ("", "")
        prefix, today = f"landing/{landing}/", datetime.now(UTC).date()
        objects: list[LandingObject] = []
        ignored: list[tuple[str, str]] = []
        hidden: list[str] = []
        until: date | None = None
        with explained(self.root, "list landing"):
            for stored in self._store.found(prefix, first, last):
                found = _parse(landing, stored, start, today)
                if stored.is_unreadable:
                    hidden.append(f"{stored.key}/".removeprefix(prefix).rstrip("/"))
                if isinstance(found, str):
                    ignored.append((shown(stored.key), found))
                elif found is not None:
                    if at_least is not None and len(objects) >= at_least and found.date != objects[-1].date:
                        until = objects[-1].date
                        break
                    objects.append(found)
        return Listing(sorted(objects, key=lambda o: (o.date, o.name)), sorted(ignored), until, tuple(hidden))

    def strangers(self, landings: Collection[str], system: str | None = None) -> list[tuple[str, str]]:
        """The folders and files of landing that lie in no feed's folder, so that nobody loads them; each with what to do.

        Of one `system` only those in its folder; where it is empty, those beside the systems' folders.
        """
        known = sorted(landings)
        above = {"", *(f"{'/'.join(parts[:n])}/" for parts in (name.split("/") for name in known) for n in range(1, len(parts)))}
        found: list[tuple[str, str]] = []
        with explained(self.root, "list landing"):
            for place in sorted(above if system is None else above & {f"{system}/" if system else ""}):
                try:
                    folders, files = self._store.level(f"landing/{place}")
                except UnreadableError as error:
                    found.append((shown(error.key), error.reason))
                    continue
                strange = [f"{place}{f}" for f in folders if f"{place}{f}" not in known and f"{place}{f}/" not in above]
                found += [(shown(f"landing/{name}/"), _no_feed(name, known)) for name in strange]
                found += [(shown(f"landing/{place}{name}"), _BESIDE) for name in files]
        return [(path, reason) for path, reason in found if not _UNFINISHED.search(path.rstrip("/"))]

    def read(self, found: LandingObject) -> Iterator[bytes]:
        """The bytes of an object, in pieces of a few MiB.

        Raises:
            FileNotFoundError: it is gone since it was listed.
            UnreadableError: it can't be read, although the store answers.
        """
        return self._store.read(found.path)

    def version(self, found: LandingObject) -> str | None:
        """What the store says of the object now; None where it is gone.

        Raises:
            UnreadableError: it says nothing, although it answers.
        """
        stored = self._store.state(found.path)
        return stored.version if stored else None

    def size(self, landing: str, day: date, name: str) -> int | None:
        """The bytes of the object of that name; None where there is none."""
        stored = self._store.state(f"landing/{landing}/{day.isoformat()}/{name}")
        return stored.size if stored else None

    def put(self, landing: str, day: date, file: Path) -> str:
        """Copy a local file into landing under its own name; its key below the root.

        Raises:
            LandingError: there is no such file, or its name would be passed over.
        """
        if not file.is_file():
            raise LandingError(f"{file} is no file: nothing was landed for it.")
        if _UNFINISHED.search(file.name) or self._store.is_staged(file.name):
            raise LandingError(f"{file.name} has the name of a hidden or unfinished file, which is never loaded: rename it.")
        key = f"landing/{landing}/{day.isoformat()}/{file.name}"
        try:
            with explained(self.root, "write landing"):
                obstore.put(self.root.store, key, file)
        except ValueError:
            raise LandingError(f"{shown(file.name)!r} can't be written under this name: rename the file.") from None
        return key

    @cached_property
    def _store(self) -> Store:
        return landing_store(self.root)


def content_etag() -> "hashlib._Hash":
    """The hash that identifies an object's bytes: MD5, as S3 gives it for an object put in one piece."""
    return hashlib.md5(usedforsecurity=False)


def shown(path: str) -> str:
    """A path for people to read: what a terminal or a log would take for something else is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def _no_feed(place: str, known: Sequence[str]) -> str:
    near = get_close_matches(place, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"feeds land in {', '.join(known)}"
    return f"no feed lands there, so nothing in it is loaded: {meant}"


def _parse(landing: str, stored: Stored, start: date, today: date) -> LandingObject | str | None:
    """The object, or why it can't be loaded; None where that is not worth a word."""
    place = stored.key.removeprefix(f"landing/{landing}/")
    if not {".", ".."}.isdisjoint(place.split("/")):
        return "its key has a folder `.` or `..`, which programs on the way take for another key"
    if _UNFINISHED.search(place):
        return None
    if stored.fault is not None:
        return stored.fault
    folder, _, name = place.partition("/")
    if not name:
        return "it lies beside the date folders, not in one"
    day = _date(folder, start, today)
    return day if isinstance(day, str) else LandingObject(landing, day, name, stored.version, stored.size)


def _date(folder: str, start: date, today: date) -> date | str:
    """The date that a folder is named by, or why what lies in it can't be loaded."""
    try:
        day = date.fromisoformat(folder)
    except ValueError:
        return f"its folder {folder!r} is no date (YYYY-MM-DD)"
    if day.isoformat() != folder:
        return f"its folder {folder!r} is no date (YYYY-MM-DD)"
    if day < start:
        return f"its date is before LAKEHOUSE_START_DATE ({start.isoformat()})"
    if day > today:
        # The partitions end with today, so a run for it could not even start, and would hold others up.
        return "its date is in the future (UTC): it is loaded once that day has come"
    return day
