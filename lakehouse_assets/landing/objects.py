"""Lists, reads and puts landing objects. What their bytes mean is the business of `raw/`."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import obstore

from lakehouse_assets.errors import LandingError
from lakehouse_assets.storage.reach import explained
from lakehouse_assets.storage.root import Root

_DATES_LISTED_ALONE = 8

_UNFINISHED = re.compile(r"(^|/)[._]|\.(tmp|part|partial|crdownload|filepart)$", re.IGNORECASE)


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
    """What a landing folder holds: the objects to load, and those that can't be, each with the reason."""

    objects: list[LandingObject]
    ignored: list[tuple[str, str]]


@dataclass(frozen=True)
class Landing:
    """The landing zone below a root."""

    root: Root

    def listing(self, landing: str, start: date, dates: Sequence[date] | None = None) -> Listing:
        """The objects of one entity (`crm/customers`) of the given dates, or of all, in the order of date and name.

        Hidden and unfinished names (`.x`, `_x`, `x.tmp`, `x.part`) are passed over without a word: they are somebody's
        work in progress. A folder that is no date, or one before `start`, is named with the reason.
        """
        objects: list[LandingObject] = []
        ignored: list[tuple[str, str]] = []
        # A request for each date, while that takes fewer than listing all dates is likely to.
        few = dates is not None and len(dates) <= _DATES_LISTED_ALONE
        prefixes = [f"landing/{landing}/{day.isoformat()}" for day in dates] if few and dates else [f"landing/{landing}"]
        with explained(self.root, "list landing"):
            listed = (meta for prefix in prefixes for batch in obstore.list(self.root.store, prefix=prefix) for meta in batch)
            for meta in listed:
                found = _parse(landing, meta, start)
                if isinstance(found, LandingObject):
                    objects.append(found)
                elif found is not None:
                    ignored.append((meta["path"], found))
        return Listing(sorted(objects, key=lambda o: (o.date, o.name)), sorted(ignored))

    def read(self, found: LandingObject) -> Iterator[bytes]:
        """The bytes of an object, in pieces of a few MiB.

        Raises:
            FileNotFoundError: it is gone since it was listed.
        """
        for piece in obstore.get(self.root.store, found.path).stream(min_chunk_size=4 * 1024 * 1024):
            yield bytes(piece)

    def version(self, found: LandingObject) -> str | None:
        """What the store says of the object now; None where it is gone."""
        try:
            meta = obstore.head(self.root.store, found.path)
        except FileNotFoundError:
            return None
        return _version(meta)

    def size(self, landing: str, day: date, name: str) -> int | None:
        """The bytes of the object of that name; None where there is none."""
        try:
            return int(obstore.head(self.root.store, f"landing/{landing}/{day.isoformat()}/{name}")["size"])
        except FileNotFoundError:
            return None

    def put(self, landing: str, day: date, file: Path) -> str:
        """Copy a local file into landing under its own name; its key below the root.

        Raises:
            LandingError: there is no such file, or its name would be passed over.
        """
        if not file.is_file():
            raise LandingError(f"{file} is no file: nothing was landed for it.")
        if _UNFINISHED.search(file.name):
            raise LandingError(f"{file.name} has the name of a hidden or unfinished file, which is never loaded: rename it.")
        key = f"landing/{landing}/{day.isoformat()}/{file.name}"
        with explained(self.root, "write landing"):
            obstore.put(self.root.store, key, file)
        return key


def content_etag() -> "hashlib._Hash":
    """The hash that identifies an object's bytes: MD5, as S3 gives it for an object put in one piece."""
    return hashlib.md5(usedforsecurity=False)


def _version(meta: Any) -> str:
    return meta["e_tag"] or f"{meta['last_modified'].isoformat()}-{meta['size']}"


def _parse(landing: str, meta: Any, start: date) -> LandingObject | str | None:
    folder, _, name = meta["path"].removeprefix(f"landing/{landing}/").partition("/")
    if _UNFINISHED.search(name or folder):
        return None
    if not name:
        return "it lies beside the date folders, not in one"
    try:
        day = date.fromisoformat(folder)
    except ValueError:
        return f"its folder {folder!r} is no date (YYYY-MM-DD)"
    if day.isoformat() != folder:
        return f"its folder {folder!r} is no date (YYYY-MM-DD)"
    if day < start:
        return f"its date is before LAKEHOUSE_START_DATE ({start.isoformat()})"
    if day > datetime.now(UTC).date():
        # The partitions end with today, so a run for it could not even start, and would hold others up.
        return "its date is in the future (UTC): it is loaded once that day has come"
    return LandingObject(landing, day, name, _version(meta), meta["size"])
