"""The root of all data and the paths below it. Only this module knows where a table is stored."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import obstore
from obstore.store import LocalStore, S3Store

from lakehouse_assets.errors import SettingsError

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9!_.()/-]*))?")

_LIKE_AN_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|[^/]*:.*@")
"""Beginnings that can't be meant as a folder: `s3:/bucket`, `user:password@host`."""


@dataclass(frozen=True)
class Root:
    """A folder, or a prefix of an S3 bucket, that holds `landing/ raw/ silver/ gold/ quarantine/ ops/`.

    `uri` is an absolute path or `s3://bucket/prefix`, without a trailing slash. Readers and writers of tables take their URIs
    from here, so that another kind of store needs a change of this class alone. `landing_uri` is that of another root whose landing
    belongs to this one, too.
    """

    uri: str
    landing_uri: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Root":
        """Parse the root that a setting names. Sends no request to the store: see `preflight.py`.

        Raises:
            SettingsError: the text names a kind of store that can't be a root. The message omits it, because it may hold secrets.
        """
        if "://" in text or _LIKE_AN_ADDRESS.match(text):
            match = _S3.fullmatch(text.rstrip("/"))
            if match is None or "//" in (match["prefix"] or "") or ".." in text:
                raise SettingsError(
                    "LAKEHOUSE_ROOT: a root is a local folder or s3://bucket/prefix, the prefix of letters, digits and !-_.()/, "
                    "without user, password or query. Keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
                )
            return cls(text.rstrip("/"))
        uri = str(Path(text).expanduser().absolute()).rstrip("/")
        if pattern_characters := sorted({c for c in uri if c in "%[]*?{}"}):
            raise SettingsError(
                f"LAKEHOUSE_ROOT: the path has {' '.join(pattern_characters)}, which readers of tables take for patterns. "
                "Name another folder."
            )
        return cls(uri)

    @property
    def local_folder(self) -> Path | None:
        """The folder; None if the root is on S3."""
        return None if self.bucket else Path(self.uri)

    @property
    def bucket(self) -> str | None:
        """The bucket; None if the root is a folder."""
        match = _S3.fullmatch(self.uri)
        return match["bucket"] if match else None

    @property
    def prefix(self) -> str:
        """The prefix of all keys in the bucket; empty if the root is a whole bucket or a folder."""
        match = _S3.fullmatch(self.uri)
        return (match["prefix"] or "") if match else ""

    @property
    def of_landing(self) -> "Root":
        """The root that has the landing: this one, unless its landing is another's."""
        return Root(self.landing_uri) if self.landing_uri else self

    def path(self, *parts: str) -> str:
        """The URI of a path below the root."""
        return "/".join([self.uri, *parts])

    @cached_property
    def store(self) -> LocalStore | S3Store:
        """The object store client. Its keys are relative to the root."""
        if self.bucket:
            from lakehouse_assets.store.s3 import s3_store

            return s3_store(self.bucket, self.prefix)
        return LocalStore(self.uri, mkdir=True)

    def files(self, prefix: str) -> list[tuple[str, int]]:
        """All objects below a prefix: path relative to the root, and size in bytes."""
        return [(meta["path"], meta["size"]) for batch in obstore.list(self.store, prefix=prefix) for meta in batch]

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects by their paths relative to the root. Missing ones are ignored."""
        if self.bucket:
            obstore.delete(self.store, list(paths))
            return
        for path in paths:
            with suppress(FileNotFoundError):
                obstore.delete(self.store, path)

    def table(self, layer: str, name: str) -> str:
        """The URI of a Delta table."""
        return self.path(layer, name)

    def table_names(self, layer: str) -> list[str]:
        """The names of the tables in a layer."""
        listed = obstore.list_with_delimiter(self.store, prefix=layer)
        return sorted(prefix.rpartition("/")[2] for prefix in listed["common_prefixes"])
