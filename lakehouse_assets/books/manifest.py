"""The manifest: one version of each gold table, and of the silver tables that they were built from, that belong together.

Each build of gold publishes one at its end. Whoever reads by the newest manifest never joins a new fact to an old dimension, however
many tables a build is about to commit.

Manifests are numbered, without gaps: `ops/manifests/12.json`. Each is put only if it is absent, and never changed. A copy of the newest
is `ops/manifests/newest.json`, so that a reader reads one small object. If that copy is out of date, because its writer was killed,
readers see the build before, and the next manifest mends it. `lakehouse maintain` deletes old manifests together with the files that
they speak of.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import obstore
from deltalake import DeltaTable
from obstore.exceptions import AlreadyExistsError

from lakehouse_assets.books.records import table_id
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.store.root import Root

_FOLDER = "ops/manifests"
_NEWEST = f"{_FOLDER}/newest.json"

Key = tuple[str, str]
"""Layer and name of a table."""


@dataclass(frozen=True)
class Pinned:
    """A version of a table; `table_id` tells it from a table that was made anew in its place."""

    table_id: str
    version: int


@dataclass(frozen=True)
class Manifest:
    """Versions of tables that belong together, published by a run at a moment (UTC).

    `behind` are the gold tables whose newest build failed: their version is older than the others.
    """

    number: int
    time: datetime
    run_id: str
    tables: Mapping[Key, Pinned]
    behind: frozenset[str] = frozenset()

    def to_json(self) -> str:
        """Return the manifest as a JSON document."""
        return json.dumps(
            {
                "number": self.number,
                "time": self.time.isoformat(),
                "run_id": self.run_id,
                "tables": {f"{layer}.{name}": asdict(pinned) for (layer, name), pinned in sorted(self.tables.items())},
                "behind": sorted(self.behind),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Make a manifest from what `to_json` returns."""
        values = json.loads(text)
        tables = {_key(name): Pinned(**pinned) for name, pinned in values["tables"].items()}
        return cls(
            values["number"], datetime.fromisoformat(values["time"]), values["run_id"], tables, frozenset(values["behind"])
        )


def _key(name: str) -> Key:
    layer, _, table = name.partition(".")
    return layer, table


@dataclass(frozen=True)
class Manifests:
    """Reads, publishes and prunes the manifests of a root."""

    root: Root

    def newest(self) -> Manifest | None:
        """Return the newest manifest, from one small object; None if nothing was published yet."""
        return self._read(_NEWEST)

    def numbered(self, number: int) -> Manifest | None:
        """Return the manifest with a number; None if there is none, or none any more."""
        return self._read(_path(number))

    def at(self, time: datetime) -> Manifest | None:
        """Return the newest manifest that was published at or before a moment; None if there is none, or none any more.

        It is looked for by halving: about log₂ of their number are read, and nothing is listed.
        """
        newest = self.newest()
        if newest is None or newest.time <= time:
            return newest
        before, after = 0, newest.number  # the one that is wanted is not `after`, nor one behind it
        found: Manifest | None = None
        while after - before > 1:
            middle = (before + after) // 2
            manifest = self.numbered(middle)
            # One that is missing was pruned, and so it is older than all others.
            if manifest is not None and manifest.time > time:
                after = middle
            else:
                before, found = middle, manifest or found
        return found

    def publish(
        self, opened: Mapping[Key, DeltaTable], *, built: Collection[str], failed: Collection[str], run_id: str
    ) -> Manifest:
        """Publish the open versions of tables. Of gold, a run has `built` some tables, and `failed` to build others.

        Returns the newest manifest: if it has these versions already, nothing is written.
        """
        tables = {key: Pinned(table_id(table), table.version()) for key, table in opened.items()}

        def following(last: Manifest | None) -> Manifest:
            known = last.tables if last is not None else {}
            merged = {key: self._later(key, pinned, known.get(key)) for key, pinned in tables.items()}
            # What failed before and was not built since is still behind.
            behind = {*failed, *(last.behind if last is not None else ())} - {*built}
            return Manifest(
                0, datetime.now(UTC), run_id, merged, frozenset(n for layer, n in merged if layer == "gold" and n in behind)
            )

        return self._publish(following)

    def replace_tables(self, change: Callable[[Manifest], Mapping[Key, Pinned]], run_id: str) -> None:
        """Publish the newest manifest with other versions of its tables, such as those to which upkeep has compacted them."""
        if self.newest() is not None:
            self._publish(
                lambda last: replace(last, time=datetime.now(UTC), run_id=run_id, tables=change(last)) if last else None
            )

    def prune(self, before: datetime) -> int:
        """Delete the manifests before the last one that was newest at a moment. Returns how many."""
        kept = self.at(before)
        if kept is None:
            return 0
        old = [path for path in self.paths() if _number(path) < kept.number]
        self.root.delete(old)
        return len(old)

    def paths(self) -> list[str]:
        """Return the paths of all manifests, relative to the root, in their order. Lists them, so only people and upkeep ask."""
        return sorted((path for path, _ in self.root.files(_FOLDER) if path != _NEWEST), key=_number)

    def _publish(self, following: Callable[[Manifest | None], Manifest | None]) -> Manifest:
        """Put the manifest that follows the newest. If another writer is first, it follows that one's."""
        last = self._last()
        while True:
            new = following(last)
            if new is None or (last is not None and (new.tables, new.behind) == (last.tables, last.behind)):
                assert last is not None, "without one, there is always something to publish"
                return last
            new = replace(new, number=1 if last is None else last.number + 1)
            try:
                obstore.put(self.root.store, _path(new.number), new.to_json().encode(), mode="create")
            except AlreadyExistsError:
                last = self.numbered(new.number)
                # Our own put may have been applied although its reply was lost.
                if last is None or (last.run_id, last.tables, last.behind) != (new.run_id, new.tables, new.behind):
                    continue
                new = last
            return self._copy_newest(new)

    def _copy_newest(self, manifest: Manifest) -> Manifest:
        """Copy a manifest to where readers look, and then those that other writers have published meanwhile."""
        later: Manifest | None = manifest
        while later is not None:
            manifest = later
            obstore.put(self.root.store, _NEWEST, manifest.to_json().encode())
            later = self.numbered(manifest.number + 1)
        return manifest

    def _last(self) -> Manifest | None:
        """Return the manifest with the highest number, even if the copy is out of date."""
        last = self.newest()
        while (later := self.numbered(1 if last is None else last.number + 1)) is not None:
            last = later
        return last

    def _later(self, key: Key, own: Pinned, known: Pinned | None) -> Pinned:
        """Return the later of two versions of a table: another writer may have published while our build was under way."""
        if known is None or known.table_id != own.table_id or known.version <= own.version:
            return own
        # A table that was put back to an older state has not got the version any more.
        current = open_table(self.root.table(*key))
        return known if current is not None and current.version() >= known.version else own

    def _read(self, path: str) -> Manifest | None:
        try:
            return Manifest.from_json(bytes(obstore.get(self.root.store, path).bytes()))
        except FileNotFoundError:
            return None


def _path(number: int) -> str:
    return f"{_FOLDER}/{number}.json"


def _number(path: str) -> int:
    return int(path.removeprefix(f"{_FOLDER}/").removesuffix(".json"))
