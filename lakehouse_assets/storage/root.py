"""The root of all data, and the paths below it. The one place that knows where a table lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import obstore
from obstore.store import LocalStore

from lakehouse_assets.errors import SettingsError


@dataclass(frozen=True)
class Root:
    """A folder that holds `landing/ raw/ silver/ gold/ quarantine/ ops/ staging/ dagster/`.

    `uri` is an absolute path without a slash at its end. Readers and writers of tables take URIs from here, so that another
    kind of store is a change of this class alone.
    """

    uri: str

    @classmethod
    def parse(cls, text: str) -> "Root":
        """The root that a setting names.

        Raises:
            SettingsError: the text names a kind of store that can't be used as a root.
        """
        if "://" in text:
            raise SettingsError(f"LAKEHOUSE_ROOT={text}: only a local folder can be the root.")
        uri = str(Path(text).expanduser().absolute()).rstrip("/")
        if found := sorted({c for c in uri if c in "%[]*?{}"}):
            raise SettingsError(
                f"LAKEHOUSE_ROOT={text}: the path has {' '.join(found)}, which readers of tables take for patterns."
            )
        return cls(uri)

    @property
    def local_folder(self) -> Path | None:
        """The folder, where the root is one."""
        return Path(self.uri)

    def path(self, *parts: str) -> str:
        """The URI of something below the root."""
        return "/".join([self.uri, *parts])

    @cached_property
    def store(self) -> LocalStore:
        """The object store whose keys begin below the root."""
        return LocalStore(self.uri, mkdir=True)

    def files(self, prefix: str) -> list[tuple[str, int]]:
        """All objects below a prefix: path below the root, and bytes."""
        return [(meta["path"], meta["size"]) for batch in obstore.list(self.store, prefix=prefix) for meta in batch]

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects by their paths below the root; those that are gone already don't matter."""
        if paths:
            obstore.delete(self.store, list(paths))

    def table(self, layer: str, name: str) -> str:
        """The URI of a Delta table."""
        return self.path(layer, name)

    def table_names(self, layer: str) -> list[str]:
        """The names of the tables that a layer holds."""
        listed = obstore.list_with_delimiter(self.store, prefix=layer)
        return sorted(prefix.rpartition("/")[2] for prefix in listed["common_prefixes"])
