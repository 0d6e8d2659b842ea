"""The superseded rows of a table: those that landed and passed, but in whose place another row of their key stands, or a tombstone.

They lie in Parquet files below the table's folder that are not part of the table. Which files these are belongs to a commit as much
as the table's own: each commit names a list of them, in Delta's `txn` action, which checkpoints keep. So whoever opens a version of
the table knows both, and a kill can't part them. Superseded rows are what makes late, vanished and deleted rows come out right: an
older version of a key comes back from here, and a tombstone waits here for what it deletes.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import obstore
from deltalake.transaction import Transaction

from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import DataFile

if TYPE_CHECKING:
    from deltalake import DeltaTable

_APPLICATION = "lakehouse.superseded"
FOLDER = "_superseded"
"""Where the lists lie below a table's folder. Delta leaves names with a leading `_` alone."""


@dataclass(frozen=True)
class Superseded:
    """The files of superseded rows that go with one version of a table."""

    files: tuple[DataFile, ...]

    @property
    def rows_by_date(self) -> dict[date, int]:
        """How many rows of each date are superseded."""
        rows: dict[date, int] = {}
        for file in self.files:
            if file.date is not None:
                rows[file.date] = rows.get(file.date, 0) + file.num_records
        return rows


def read_superseded(root: Root, layer: str, name: str, table: "DeltaTable") -> Superseded | None:
    """The superseded rows of the version that is open. None where nothing is known of them: the table is to be built again."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return Superseded(()) if table.version() == 0 else None
    try:
        listed = json.loads(bytes(obstore.get(root.store, _path(layer, name, number)).bytes()))
    except FileNotFoundError:
        return None
    return Superseded(tuple(_file(entry) for entry in listed["files"]))


def write_superseded(root: Root, layer: str, name: str, files: Sequence[DataFile]) -> Transaction:
    """Write the list of a version to come; what to give the commit so that it names the list."""
    number = secrets.randbits(63)
    entries = [{**asdict(f), "date": str(f.date)} for f in sorted(files, key=lambda f: (str(f.date), f.path))]
    obstore.put(root.store, _path(layer, name, number), json.dumps({"files": entries}).encode())
    return Transaction(_APPLICATION, number)


def delete_superseded(root: Root, layer: str, name: str, transaction: Transaction) -> None:
    """Take a list back that no commit has come to name."""
    root.delete([_path(layer, name, transaction.version)])


def listed_files(root: Root, layer: str, name: str) -> Iterator[tuple[str, list[str]]]:
    """All lists there are, of versions past and present: the path of each below the root, and the files that it names."""
    for path, _ in root.files(f"{layer}/{name}/{FOLDER}"):
        listed = json.loads(bytes(obstore.get(root.store, path).bytes()))
        yield path, [entry["path"] for entry in listed["files"]]


def current_list(layer: str, name: str, table: "DeltaTable") -> str | None:
    """The path below the root of the list that the open version names."""
    number = table.transaction_version(_APPLICATION)
    return None if number is None else _path(layer, name, number)


def _path(layer: str, name: str, number: int) -> str:
    return f"{layer}/{name}/{FOLDER}/{number}.json"


def _file(entry: dict[str, Any]) -> DataFile:
    return DataFile(entry["path"], entry["size_bytes"], entry["num_records"], date.fromisoformat(entry["date"]))
