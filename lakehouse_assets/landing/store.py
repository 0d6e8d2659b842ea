"""What lies below a folder of landing, under the very names that the store has for it.

obstore's paths know no control characters, no empty folder names and no slash at their end: one such key ends a whole listing, or is
listed under a name that is another key's. So a bucket is listed by botocore, and a folder by the operating system.
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
from lakehouse_assets.store.errors import AnsweredError, client_answer
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import identity, s3_settings

_PIECE = 4 * 1024 * 1024

_STAGED = re.compile(r"#\d+\Z")

_OF_ONE_FILE = {
    EACCES: "this user has no right to read it",
    EPERM: "this user has no right to read it",
    EIO: "the disk has an error there (EIO)",
    ESTALE: "the file server knows it no more (ESTALE)",
}
"""Errors of a system that say nothing of the next file."""

_OF_ONE_OBJECT = {
    "AccessDenied": "these credentials have no right to read it",
    "InvalidObjectState": "it lies in an archive",
    "KMS.DisabledException": "the key that it is encrypted with is disabled",
    "KMS.NotFoundException": "the key that it is encrypted with is not there",
}
"""Answers of S3 that say nothing of the next object."""

_CODE = re.compile(r"<Code>([\w.]+)</Code>")


@dataclass(frozen=True)
class Stored:
    """An object or a file: its key below the root, the store's own word for its state, its bytes, and why it can't be loaded."""

    key: str
    version: str
    size: int
    fault: str | None = None
    is_unreadable: bool = False
    """Whether it is there, but what it holds can't be known: a folder that can't be listed, or a file of which nothing is told."""


class Store(Protocol):
    """Where landing lies. Prefixes end with a slash; keys and prefixes begin below the root."""

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below a prefix, one request a thousand of them.

        Raises:
            UnreadableError: it can't be listed.
        """

    def level(self, prefix: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files directly below a prefix; see `folders`."""

    def found(self, prefix: str, first: str = "", last: str = "") -> Iterator[Stored]:
        """All that lies below a prefix, or in its folders from `first` to `last`, folder by folder, listed as it is asked for."""

    def state(self, key: str) -> Stored | None:
        """An object as it is now; None where there is none.

        Raises:
            UnreadableError: nothing is told of it.
        """

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of an object, in pieces of a few MiB.

        Raises:
            FileNotFoundError: there is none.
            UnreadableError: it can't be read, which says nothing of the others.
        """

    def is_staged(self, name: str) -> bool:
        """Whether the name is one that obstore gives to what it is still writing there."""


def landing_store(root: Root) -> Store:
    """The store below a root."""
    return Folder(root.local_folder) if root.local_folder else Bucket(root)


class Folder:
    """A local folder. Symbolic links below the prefix are not followed: they could lead out of landing, or in a circle."""

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
            while piece := file.read(_PIECE):
                yield piece

    def is_staged(self, name: str) -> bool:
        """See `Store.is_staged`."""
        return _STAGED.search(name) is not None


class Bucket:
    """A prefix of a bucket. obstore reads what it has a path for, because it goes on where a connection breaks; botocore the rest."""

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
        after = {"StartAfter": f"{self._above}{prefix}{first}/"} if first else {}
        # Keys come in the order of their bytes, where 0 is what follows the slash.
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
        except ValueError:  # a key that is no path of obstore's
            with _readable(key):
                listed = next(self._pages(key)).get("Contents", [])
            return next((_listed(key, item) for item in listed if item["Key"] == self._above + key), None)

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        with _readable(key):
            try:
                found = obstore.get(self._store, key)
            except ValueError:  # a key that is no path of obstore's
                with _explicable(key):
                    yield from _client().get_object(Bucket=self._bucket, Key=self._above + key)["Body"].iter_chunks(_PIECE)
                return
            for piece in found.stream(min_chunk_size=_PIECE):
                yield bytes(piece)

    def is_staged(self, name: str) -> bool:
        """See `Store.is_staged`: an object is there as a whole, or not at all."""
        del name
        return False

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        with _explicable(prefix):
            pages = _client().get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._above + prefix, **options)

    def _stored(self, item: dict[str, Any]) -> Stored | None:
        """An entry of a listing; None for the marker of a folder, which consoles put where there is nothing else."""
        key = item["Key"].removeprefix(self._above)
        if key.endswith("/"):
            return _listed(key, item, "its key ends with a slash, as a folder's does") if item["Size"] else None
        if "\ufffd" in key and self.state(key) is None:
            return _listed(
                key, item, "the store lists it under a name that it doesn't know: it has characters that XML can't say"
            )
        return _listed(key, item)


def _listed(key: str, item: dict[str, Any], fault: str | None = None) -> Stored:
    return Stored(key, _version(item.get("ETag"), item["LastModified"], item["Size"]), item["Size"], fault)


def _walk(first: "os.DirEntry[str]", prefix: str) -> Iterator[Stored]:
    """A file, or all files below a folder: by a list, because folders may be nested deeper than Python's calls."""
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
            continue  # gone since its folder was listed
        except UnreadableError as error:
            yield _unreadable(error)
        except OSError as error:
            if error.errno != ENAMETOOLONG:
                raise
            yield Stored(key, "", 0, "its path is longer than the system takes")


def _entries(folder: Path | str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _readable(key: str) -> Iterator[None]:
    """Tell apart what is wrong with one object or folder from what is wrong with all: a store that is down, credentials that are none.

    Raises:
        UnreadableError: it can't be read, which says nothing of the others.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_ONE_FILE:
            raise
        raise UnreadableError(key.rstrip("/"), _OF_ONE_FILE[error.errno]) from None
    except BaseError as error:
        found = _CODE.search(str(error))
        if found is None or found.group(1) not in _OF_ONE_OBJECT:
            raise
        raise UnreadableError(key.rstrip("/"), f"{_OF_ONE_OBJECT[found.group(1)]} ({found.group(1)})") from None


def _unreadable(error: UnreadableError) -> Stored:
    return Stored(error.key, "", 0, error.reason, is_unreadable=True)


def _stored(key: str, status: os.stat_result) -> Stored:
    fault = None
    if stat.S_ISLNK(status.st_mode):
        fault = "it is a symbolic link, which is not followed: put the file itself there"
    elif not stat.S_ISREG(status.st_mode):
        fault = "it is no file"
    elif _STAGED.search(key):
        fault = "it has the name of a file that is still being written (# and a number at its end)"
    elif not key.isascii() and any("\ud800" <= c <= "\udfff" for c in key):
        fault = "its name is not UTF-8"
    # The time of change is the system's own. That of modification is what a copy may set, to whole seconds.
    version = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_size:x}"
    return Stored(key, version, status.st_size, fault)


def _version(etag: str | None, modified: datetime | str, size: int) -> str:
    """The ETag. A gateway over files has none for what was put there behind its back."""
    if etag:
        return etag
    modified = modified if isinstance(modified, datetime) else datetime.fromisoformat(modified)
    return f"{int(modified.timestamp())}-{size}"


def _client() -> Any:
    store = s3_settings()
    return _client_of(store.endpoint or None, store.region, identity())


@lru_cache(maxsize=4)
def _client_of(endpoint: str | None, region: str, identity: tuple[str | None, ...]) -> Any:
    """The client of botocore, which finds credentials and renews them by itself. `identity` tells environments apart."""
    del identity
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    # Reading the time of each object would take as long as all the rest of a listing.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    config = Config(
        connect_timeout=10,
        retries={"mode": "standard", "max_attempts": 5},
        s3={"addressing_style": "path" if endpoint else "auto"},
        response_checksum_validation="when_required",
    )
    return session.create_client("s3", endpoint_url=endpoint, region_name=region, config=config)


@contextmanager
def _explicable(key: str) -> Iterator[None]:
    """Give botocore's errors the form of obstore's, which `store.errors.explained` tells in a sentence.

    Raises:
        FileNotFoundError: there is no such object.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        answer = client_answer(error.response)
        if answer.code in ("NoSuchKey", "404"):
            raise FileNotFoundError(key) from None
        raise AnsweredError(answer) from None
    except BotoCoreError as error:
        raise GenericError(type(error).__name__) from None
