"""The key filter: which data files may have a key, told by a small part of a file of hashes.

Bounds of columns don't help where keys are spread at random, because each file's range then holds every key. The filter is a set of
segments in a table's folder `_keys`. A segment names data files and has the hash of each row's key with the number of its file: 8 bytes
a row. To look up a thousand keys, its head is read, and of its entries a thousand buckets with some 64 each.

A data file never changes, and no other ever has its path. So what a segment says of a file holds in every version of the table, and no
commit needs to name segments. The keys of a file that no segment names are read: a segment may be lost, left over, or written twice.

    part      content
    head      JSON: `key` (names of columns), `files` (paths relative to the table), `rows`, `bits`
    starts    2^bits + 1 numbers: the first entry of each bucket, and the end of the last. The first bits of a hash tell its bucket.
    entries   in the order of the hashes, for each row: the other bits of the hash, the number of the file

Numbers are unsigned, little-endian, of 32 bits. A segment's name is `<id>-<bytes of the head>`.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import obstore

from lakehouse_assets.delta.duck import rows_of_files
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

WORTHWHILE = 250_000
"""Keys of fewer rows are read. When files that no segment names have so many rows together, a segment is written for them."""


def is_worthwhile(rows: int) -> bool:
    """Whether a filter reads less than the keys of so many rows."""
    return rows >= WORTHWHILE


_LARGEST = 4_000_000
"""A segment has at most so many rows, unless one file has more: that bounds the memory that writing takes."""

_BITS_OF_HASH = 44
"""A thousand keys in 4 million rows give one needless file in 4,000 look-ups."""

_LEAST_BITS = _BITS_OF_HASH - 32
_ROWS_PER_BUCKET = 64
_ENTRY = 8
_GAP = 256
"""Two buckets with at most so many entries between them are read by one request."""

_MOST_REQUESTS = 4_000
_AT_ONCE = 16
_FOLDER = "_keys"

_AS_TEXT = {
    "string": '"{}"',
    "int": 'CAST("{}" AS VARCHAR)',
    "bigint": 'CAST("{}" AS VARCHAR)',
    "date": 'CAST("{}" AS VARCHAR)',
    "timestamp": 'CAST(epoch_us("{}") AS VARCHAR)',
}
"""By type: SQL for a key's text. Equal values have one text in any release of DuckDB; other types have no filter."""


@dataclass(frozen=True)
class Segment:
    """A segment by its head. `entries_at` is where the numbers begin."""

    root: Root
    path: str
    files: tuple[str, ...]
    rows: int
    bits: int
    starts_at: int

    def files_with(self, hashes: "Numbers") -> set[str]:
        """The files that may have a key with one of the hashes.

        Raises:
            FileNotFoundError: another writer has merged this segment into a larger one.
        """
        import numpy as np

        if not len(hashes):
            return set()
        buckets = np.unique(hashes >> (_BITS_OF_HASH - self.bits))
        spans = _spans(self._starts[buckets], self._starts[buckets + 1])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            rest, files = _parted(b"".join(pool.map(lambda span: self._entries(*span), spans)))
        places = np.concatenate([np.arange(start, end) for start, end in spans])
        matches = np.isin(self._hashes(places, rest), hashes)
        return {self.files[number] for number in np.unique(files[matches])}

    def is_unused(self, kept: Collection[str]) -> bool:
        """Whether it names none of the files."""
        return not any(file in kept for file in self.files)

    def all_entries(self) -> tuple["Numbers", "Numbers"]:
        """The hashes of all rows and the numbers of their files."""
        import numpy as np

        rest, files = _parted(self._entries(0, self.rows))
        return self._hashes(np.arange(self.rows), rest), files

    @cached_property
    def _starts(self) -> "Numbers":
        import numpy as np

        return np.frombuffer(self._read(self.starts_at, self.starts_at + 4 * (2**self.bits + 1)), "<u4").astype(np.int64)

    def _hashes(self, places: "Numbers", rest: "Numbers") -> "Numbers":
        """The hashes of the entries at the given places."""
        import numpy as np

        hashes: Numbers = (np.searchsorted(self._starts, places, "right") - 1 << _BITS_OF_HASH - self.bits) | rest
        return hashes

    def _entries(self, start: int, end: int) -> bytes:
        origin = self.starts_at + 4 * (2**self.bits + 1)
        return self._read(origin + _ENTRY * start, origin + _ENTRY * end)

    def _read(self, start: int, end: int) -> bytes:
        return bytes(obstore.get_range(self.root.store, self.path, start=start, end=end)) if start < end else b""


@dataclass(frozen=True)
class KeyFilter:
    """The segments of a table, and its key: columns with their Spark types."""

    root: Root
    folder: str
    key: Mapping[str, str]
    segments: tuple[Segment, ...]

    def files_without(self, connection: "duckdb.DuckDBPyConnection", keys: str, files: Collection[str]) -> set[str]:
        """Those of the files that surely have none of the keys, a relation with the key's columns."""
        import numpy as np

        hashes = np.unique(_hashed(connection, f"SELECT {_hash(self.key)} AS hash FROM {keys}")["hash"])
        without: set[str] = set()
        for segment in self.segments:
            # So many keys are in nearly every bucket, and in nearly every file.
            if any(file in files for file in segment.files) and len(hashes) * _ROWS_PER_BUCKET < segment.rows:
                with suppress(FileNotFoundError):
                    without |= {*segment.files} - segment.files_with(hashes)
        return without & {*files}

    def extend(self, connection: "duckdb.DuckDBPyConnection", files: Mapping[str, int], kept: Collection[str]) -> None:
        """Write segments for those of the files (with their rows) that no segment names, if that is worthwhile.

        `kept` are all files of the table. Runs that name none of them are deleted, and segments merged into a new one.
        """
        named = {file for segment in self.segments for file in segment.files}
        unnamed = {file: rows for file, rows in files.items() if file not in named}
        if not is_worthwhile(sum(unnamed.values())):
            return
        segments = sorted((segment for segment in self.segments if not segment.is_unused(kept)), key=lambda segment: segment.rows)
        for part in _parts(unnamed):
            merged, rows = [], sum(part.values())
            # A segment at least doubles by merging: so there are few, and each row is written few times.
            while segments and segments[0].rows <= rows and rows + segments[0].rows <= _LARGEST:
                merged.append(segments.pop(0))
                rows += merged[-1].rows
            self._write(*_merged(merged, kept, *self._read(connection, part)))
        self.root.delete([segment.path for segment in self.segments if segment not in segments])

    def _read(self, connection: "duckdb.DuckDBPyConnection", files: Mapping[str, int]) -> tuple[list[str], "Numbers", "Numbers"]:
        """The files, the hash of each row's key, and the number of its file."""
        uri = self.root.path(self.folder.rpartition("/")[0])
        rows = rows_of_files([f"{uri}/{file}" for file in files], self.key, sum(files.values()), {"_file": "file_index"})
        hashed = _hashed(connection, f"SELECT {_hash(self.key)} AS hash, CAST(_file AS UINTEGER) AS file FROM ({rows})")
        return list(files), hashed["hash"], hashed["file"]

    def _write(self, files: Sequence[str], hashes: "Numbers", numbers: "Numbers") -> None:
        """Write a segment."""
        import numpy as np

        order = np.argsort(hashes)
        hashes = hashes[order]
        bits = max(_LEAST_BITS, (len(hashes) // _ROWS_PER_BUCKET).bit_length())
        rest = _BITS_OF_HASH - bits
        starts = np.searchsorted(hashes, np.arange(2**bits + 1) << rest)
        entries = np.empty((len(hashes), 2), "<u4")
        entries[:, 0], entries[:, 1] = hashes & (1 << rest) - 1, numbers[order]
        head = json.dumps({"key": list(self.key), "files": files, "rows": len(hashes), "bits": bits}).encode()
        body = b"".join([head, starts.astype("<u4").tobytes(), entries.tobytes()])
        obstore.put(self.root.store, f"{self.folder}/{uuid4().hex}-{len(head)}", body)


def key_filter(root: Root, layer: str, table: str, key: Mapping[str, str]) -> KeyFilter | None:
    """The filter of a table, with the segments that there are now; None if a column of the key has a type without one."""
    if not key.keys() <= {name for name, kind in key.items() if kind in _AS_TEXT}:
        return None
    folder = f"{layer}/{table}/{_FOLDER}"
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        opened = pool.map(lambda path: _opened(root, path), [path for path, _ in root.files(f"{folder}/")])
    return KeyFilter(root, folder, key, tuple(segment for columns, segment in filter(None, opened) if columns == list(key)))


def _opened(root: Root, path: str) -> tuple[list[str], Segment] | None:
    """A segment and its key; None if it is gone."""
    length = int(path.rpartition("-")[2])
    try:
        head = json.loads(bytes(obstore.get_range(root.store, path, start=0, end=length)))
    except FileNotFoundError:
        return None
    return head["key"], Segment(root, path, tuple(head["files"]), head["rows"], head["bits"], length)


def _hash(key: Mapping[str, str]) -> str:
    """SQL: the hash of a key."""
    texts = ", ".join(_AS_TEXT[kind].format(name) for name, kind in key.items())
    return f"CAST(md5_number_lower(concat_ws('|', {texts})) >> {64 - _BITS_OF_HASH} AS BIGINT)"


def _hashed(connection: "duckdb.DuckDBPyConnection", sql: str) -> Mapping[str, "Numbers"]:
    """The columns of a query's result, without NULL."""
    table = connection.execute(sql).to_arrow_table()
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _parts(files: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """The files in parts of at most as many rows as a segment may have; a part has at least one file."""
    part: dict[str, int] = {}
    for file, rows in files.items():
        if part and sum(part.values()) + rows > _LARGEST:
            yield part
            part = {}
        part[file] = rows
    yield part


def _merged(
    segments: Iterable[Segment], kept: Collection[str], files: list[str], hashes: "Numbers", numbers: "Numbers"
) -> tuple[list[str], "Numbers", "Numbers"]:
    """The files, hashes and file numbers of segments together with the given ones, without those of files that are not kept."""
    import numpy as np

    for segment in segments:
        with suppress(FileNotFoundError):
            more_hashes, of_segment = segment.all_entries()
            added = [file for file in segment.files if file in kept and file not in files]
            number_of = {file: len(files) + n for n, file in enumerate(added)}
            renumbered = np.array([number_of.get(file, -1) for file in segment.files])[of_segment]
            files = files + added
            hashes = np.concatenate([hashes, more_hashes[renumbered >= 0]])
            numbers = np.concatenate([numbers, renumbered[renumbered >= 0]])
    return files, hashes, numbers


def _parted(entries: bytes) -> tuple["Numbers", "Numbers"]:
    """Of entries: the stored bits of the hashes, the numbers of the files."""
    import numpy as np

    stored = np.frombuffer(entries, "<u4").astype(np.int64).reshape(-1, 2)
    return stored[:, 0], stored[:, 1]


def _spans(starts: "Numbers", ends: "Numbers") -> list[tuple[int, int]]:
    """Ranges of entries that contain the given ones (in order), joined where that saves a request."""
    spans: list[tuple[int, int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if spans and start - spans[-1][1] <= _GAP:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans if len(spans) <= _MOST_REQUESTS else [(spans[0][0], spans[-1][1])]
