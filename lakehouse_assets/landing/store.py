"""Lists and reads landing in S3 or a local folder, under the exact names that the store has.

obstore's paths can't hold control characters, empty folder names or a trailing slash: one such key aborts a whole listing, or is
listed under another key's name. So botocore lists buckets, and the operating system lists folders.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from errno import EACCES, EIO, ENAMETOOLONG, EPERM, ESTALE
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.exceptions import BaseError, GenericError

from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.store.errors import Answer, AnsweredError, client_answer
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import identity, s3_settings

_CHUNK_BYTES = 4 * 1024 * 1024

_STAGED = re.compile(r"#\d+\Z")

_FILE_ERRORS = {
    EACCES: "this user has no right to read it",
    EPERM: "this user has no right to read it",
    EIO: "the disk has an error there (EIO)",
    ESTALE: "the file server no longer knows it (ESTALE)",
}
"""Errors of the operating system that concern one file: others may still be readable."""

_OBJECT_ERRORS = {
    "AccessDenied": "these credentials have no right to read it",
    "InvalidObjectState": "it is archived",
    "KMS.DisabledException": "its encryption key is disabled",
    "KMS.NotFoundException": "its encryption key does not exist",
}
"""Error codes of S3 that concern one object: others may still be readable."""

_CODE = re.compile(r"<Code>([\w.]+)</Code>")


@dataclass(frozen=True)
class Stored:
    """An object or file: its key relative to the root, its version (etag), its size in bytes, and why it can't be loaded."""

    key: str
    version: str
    size: int
    fault: str | None = None
    is_unreadable: bool = False
    """Whether it exists but can't be inspected: a folder that can't be listed, or a file without readable metadata."""


class Store(Protocol):
    """Where landing is stored. Prefixes end with a slash; keys and prefixes are relative to the root."""

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders directly below a prefix, with one request per thousand.

        Raises:
            UnreadableError: the prefix can't be listed.
        """

    def level(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files directly below a prefix; see `folders`."""

    def found(self, prefix: str, first: str = "", last: str = "") -> Iterator[Stored]:
        """Yield everything below a prefix, or in its folders from `first` to `last`, folder by folder, listing lazily."""

    def state(self, key: str) -> Stored | None:
        """Return the current state of an object, or None if it does not exist.

        Raises:
            UnreadableError: it can't be inspected.
        """

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object, in chunks of a few MiB.

        Raises:
            FileNotFoundError: it does not exist.
            UnreadableError: it can't be read; other objects may be readable.
        """

    def is_staged(self, name: str) -> bool:
        """Return whether obstore gives such a name to a file that it is still writing."""


def landing_store(root: Root) -> Store:
    """Return the store of a root."""
    return Folder(root.local_folder) if root.local_folder else Bucket(root)


class Folder:
    """A local folder. Does not follow symbolic links below the prefix: they could lead out of landing, or in a circle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def folders(self, prefix: str) -> list[str]:
        """See `Store.folders`."""
        return self.level(prefix)[0]

    def level(self, prefix: str) -> tuple[list[str], list[str]]:
        """See `Store.level`."""
        folders: list[str] = []
        files: list[str] = []
        with _readable(prefix):
            for entry in _entries(self._path / prefix):
                (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        return folders, files

    def found(self, prefix: str, first: str = "", last: str = "") -> Iterator[Stored]:
        """See `Store.found`."""
        try:
            with _readable(prefix):
                entries = sorted(_entries(self._path / prefix), key=lambda e: e.name)
        except UnreadableError as error:
            yield _unreadable(error)
            return
        for entry in entries:
            if first <= entry.name and (not last or entry.name <= last):
                yield from _walk(entry, prefix)

    def state(self, key: str) -> Stored | None:
        """See `Store.state`."""
        try:
            with _readable(key):
                return _stored(key, (self._path / key).lstat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        with _readable(key), (self._path / key).open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                yield piece

    def is_staged(self, name: str) -> bool:
        """See `Store.is_staged`."""
        return _STAGED.search(name) is not None


class Bucket:
    """A prefix of a bucket. obstore reads, because it resumes broken connections; botocore reads what obstore can't address."""

    def __init__(self, root: Root) -> None:
        self._store, self._bucket = root.store, root.bucket
        self._above = f"{root.prefix}/" if root.prefix else ""

    def folders(self, prefix: str) -> list[str]:
        """See `Store.folders`."""
        return self.level(prefix)[0]

    def level(self, prefix: str) -> tuple[list[str], list[str]]:
        """See `Store.level`."""
        folders: list[str] = []
        files: list[str] = []
        with _readable(prefix):
            for page in self._pages(prefix, Delimiter="/"):
                folders += [folder["Prefix"] for folder in page.get("CommonPrefixes", [])]
                files += [item["Key"] for item in page.get("Contents", []) if not item["Key"].endswith("/")]
        above = self._above + prefix
        return [f.removeprefix(above).rstrip("/") for f in folders], [f.removeprefix(above) for f in files]

    def found(self, prefix: str, first: str = "", last: str = "") -> Iterator[Stored]:
        """See `Store.found`."""
        try:
            with _readable(prefix):
                yield from self._found(prefix, first, last)
        except UnreadableError as error:
            yield _unreadable(error)

    def _found(self, prefix: str, first: str, last: str) -> Iterator[Stored]:
        """List the objects of the folders from `first` to `last`; errors pass through."""
        after = {"StartAfter": f"{self._above}{prefix}{first}/"} if first else {}
        # Keys are sorted by their bytes, where "0" directly follows "/".
        end = f"{self._above}{prefix}{last}0"
        for page in self._pages(prefix, **after):
            for item in page.get("Contents", []):
                if last and item["Key"] >= end:
                    return
                if stored := self._stored(item):
                    yield stored

    def state(self, key: str) -> Stored | None:
        """See `Store.state`."""
        try:
            with _readable(key):
                meta = obstore.head(self._store, key)
            return Stored(key, _version(meta["e_tag"], meta["last_modified"], meta["size"]), meta["size"])
        except FileNotFoundError:
            return None
        except ValueError:  # obstore can't address this key
            with _readable(key):
                listed = next(self._pages(key)).get("Contents", [])
            return next((_listed(key, item) for item in listed if item["Key"] == self._above + key), None)

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        with _readable(key):
            try:
                result = obstore.get(self._store, key)
            except ValueError:  # obstore can't address this key
                with _as_obstore_errors(key):
                    yield from _client().get_object(Bucket=self._bucket, Key=self._above + key)["Body"].iter_chunks(_CHUNK_BYTES)
                return
            for piece in result.stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(piece)

    def is_staged(self, name: str) -> bool:
        """See `Store.is_staged`: an object appears complete, or not at all."""
        del name
        return False

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of botocore's listing of a prefix."""
        with _as_obstore_errors(prefix):
            pages = _client().get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._above + prefix, **options)

    def _stored(self, item: dict[str, Any]) -> Stored | None:
        """Convert an entry of a listing; None for a folder marker, which consoles create for an empty folder."""
        key = item["Key"].removeprefix(self._above)
        if key.endswith("/"):
            return _listed(key, item, "its key ends with a slash, as a folder's does") if item["Size"] else None
        if "\ufffd" in key and self.state(key) is None:
            return _listed(
                key, item, "the store lists it under a name that it doesn't know: it has characters that XML can't express"
            )
        return _listed(key, item)


def _listed(key: str, item: dict[str, Any], fault: str | None = None) -> Stored:
    """Describe an object from its entry in a listing."""
    return Stored(key, _version(item.get("ETag"), item["LastModified"], item["Size"]), item["Size"], fault)


def _walk(first: "os.DirEntry[str]", prefix: str) -> Iterator[Stored]:
    """Yield a file, or all files below a folder. Iterative, because folders may be nested deeper than Python's stack allows."""
    waiting = [(first, prefix + first.name)]
    while waiting:
        entry, key = waiting.pop()
        try:
            with _readable(key):
                if entry.is_dir(follow_symlinks=False):
                    waiting += [(inner, f"{key}/{inner.name}") for inner in _entries(entry.path)]
                    continue
                stored = _stored(key, entry.stat(follow_symlinks=False))
            yield stored
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted after its folder was listed
        except UnreadableError as error:
            yield _unreadable(error)
        except OSError as error:
            if error.errno != ENAMETOOLONG:
                raise
            yield Stored(key, "", 0, "its path is longer than the system allows")


def _entries(folder: Path | str) -> "list[os.DirEntry[str]]":
    """List a folder; empty if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _readable(key: str) -> Iterator[None]:
    """Convert errors that concern one object or folder; others (store down, no credentials) pass through.

    Raises:
        UnreadableError: it can't be read; other objects may be readable.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FILE_ERRORS:
            raise
        raise UnreadableError(key.rstrip("/"), _FILE_ERRORS[error.errno]) from None
    except BaseError as error:
        match = _CODE.search(str(error))
        if match is None or match.group(1) not in _OBJECT_ERRORS:
            raise
        raise UnreadableError(key.rstrip("/"), f"{_OBJECT_ERRORS[match.group(1)]} ({match.group(1)})") from None


def _unreadable(error: UnreadableError) -> Stored:
    return Stored(error.key, "", 0, error.reason, is_unreadable=True)


def _stored(key: str, status: os.stat_result) -> Stored:
    """Describe a file of a local folder, with the reason if it can't be loaded."""
    fault = None
    if stat.S_ISLNK(status.st_mode):
        fault = "it is a symbolic link, which is not followed: put the file itself there"
    elif not stat.S_ISREG(status.st_mode):
        fault = "it is not a file"
    elif _STAGED.search(key):
        fault = "its name is that of a file still being written (it ends in # and a number)"
    elif not key.isascii() and any("\ud800" <= c <= "\udfff" for c in key):
        fault = "its name is not UTF-8"
    # The system sets ctime. A copy may set mtime, to whole seconds.
    version = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_size:x}"
    return Stored(key, version, status.st_size, fault)


def _version(etag: str | None, modified: datetime | str, size: int) -> str:
    """Return the ETag, or time and size: a gateway over files has no ETag for files that were written without it."""
    if etag:
        return etag
    modified = modified if isinstance(modified, datetime) else datetime.fromisoformat(modified)
    return f"{int(modified.timestamp())}-{size}"


def _client() -> Any:
    store = s3_settings()
    return _cached_client(store.endpoint or None, store.region, identity())


@lru_cache(maxsize=4)
def _cached_client(endpoint: str | None, region: str, identity: tuple[str | None, ...]) -> Any:
    """Return botocore's client, which finds and renews credentials automatically. `identity` keeps environments apart."""
    del identity
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    # Parsing the time of each object would take as long as the rest of a listing.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    config = Config(
        connect_timeout=10,
        retries={"mode": "standard", "max_attempts": 5},
        s3={"addressing_style": "path" if endpoint else "auto"},
        response_checksum_validation="when_required",
    )
    return session.create_client("s3", endpoint_url=endpoint, region_name=region, config=config)


@contextmanager
def _as_obstore_errors(key: str) -> Iterator[None]:
    """Convert botocore's errors to obstore's, which `store.errors.explained` turns into a message.

    Raises:
        FileNotFoundError: the object does not exist.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        answer = client_answer(error.response)
        if answer.code == "NoSuchKey" or answer == Answer(status="404"):
            raise FileNotFoundError(key) from None
        raise AnsweredError(answer) from None
    except BotoCoreError as error:
        raise GenericError(type(error).__name__) from None
