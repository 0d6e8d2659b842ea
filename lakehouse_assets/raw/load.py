"""From landing objects to raw rows: which files of a partition to read, and what a partition was built from.

Partition d of a raw table is a function of the landing objects dated d. Only files that are new or changed since the partition was
built are read; rows of changed and vanished files are replaced exactly.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from logging import Logger
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.landing.objects import Landing, LandingObject, content_etag
from lakehouse_assets.raw.batch import Batch, Reject
from lakehouse_assets.raw.csv import read_csv
from lakehouse_assets.storage.ledger import LandedFile, PartitionRecord

if TYPE_CHECKING:
    import pyarrow as pa

READER_VERSION = "1"
"""Changes when the readers would make other rows of the same bytes; every raw partition is then built again."""

_READS_OF_A_CHANGING_FILE = 3


@dataclass(frozen=True)
class FileDifference:
    """How landing differs from what one raw partition was built from, by file name."""

    date: date
    read: list[LandingObject]
    """New or changed since, or all where the reading itself changed."""
    vanished: list[str]
    kept: list[LandedFile]
    known: dict[str, LandedFile]
    """The files whose rows, read the same way as now, stand in the table."""
    whole: bool
    """All rows of the date are replaced: they are read another way now, or a step was killed while it wrote them."""


@dataclass
class LandedRows:
    """What a raw asset returns: the rows of the files that were read, the rows refused, and what each partition is now built from.

    `rows`: the source's columns as text, `_source_file`, `_source_etag`, `_row_number` (int64), `_date` (date32).
    """

    rows: "pa.Table"
    rejects: list[tuple[date, str, Reject]]
    files: dict[date, list[LandedFile]]
    fingerprints: dict[date, str]
    replaced: dict[date, set[str] | None]
    """The files whose rows leave the table or come into it, by date; None where all rows of the date do."""
    begun: dict[date, PartitionRecord] = field(default_factory=dict)
    """The ledger's records of these dates, as they were."""
    new_columns: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)


def differences(
    entity: Entity, objects: Sequence[LandingObject], built: dict[date, PartitionRecord], dates: Iterable[date] | None = None
) -> list[FileDifference]:
    """Where landing and the built partitions of a raw table differ, in the order of the dates; of all dates where None."""
    by_date: dict[date, list[LandingObject]] = {}
    for found in objects:
        by_date.setdefault(found.date, []).append(found)
    chosen = sorted(by_date.keys() | built.keys()) if dates is None else sorted(dates)
    found_differences = (_difference(entity, day, by_date.get(day, []), built.get(day)) for day in chosen)
    return [d for d in found_differences if d is not None]


def load(
    entity: Entity,
    landing: Landing,
    objects: Sequence[LandingObject],
    built: dict[date, PartitionRecord],
    dates: Sequence[date],
    log: Logger,
) -> LandedRows:
    """Read what is new or changed in the given partitions."""
    import pyarrow as pa

    tables: list[pa.Table] = []
    landed = LandedRows(_empty_rows(entity), [], {}, {}, {}, begun={d: built[d] for d in dates if d in built})
    found_differences = differences(entity, objects, built, dates)
    total, done = sum(len(d.read) for d in found_differences), 0
    for difference in found_differences:
        files = {f.name: f for f in difference.kept}
        replaced = set(difference.vanished)
        for found in difference.read:
            done += 1
            log.info(f"Reading {found.path} ({found.size:,} bytes), file {done} of {total}")
            result = _read_stable(entity, landing, found)
            before = difference.known.get(found.name)
            if result is None:
                landed.unstable.append(found.path)
                if before is not None:
                    # Its old rows stand until it can be read; without a version the next pass tries again.
                    files[found.name] = replace(before, version="")
                continue
            file, parts, rejects = result
            files[file.name] = file
            if before is not None and before.etag == file.etag:
                continue  # uploaded again with the same bytes: its rows stand already
            replaced.add(file.name)
            tables += parts
            landed.rejects += [(found.date, found.name, reject) for reject in rejects]
        landed.files[difference.date] = sorted(files.values(), key=lambda f: f.name)
        landed.fingerprints[difference.date] = fingerprint(entity, landed.files[difference.date])
        if difference.whole:
            landed.replaced[difference.date] = None
        elif replaced:
            landed.replaced[difference.date] = replaced
    landed.rows = pa.concat_tables([landed.rows, *tables], promote_options="default")
    known = set(landed.rows.schema.names[: len(entity.raw.columns) + 4])
    landed.new_columns = [name for name in landed.rows.schema.names if name not in known]
    return landed


def fingerprint(entity: Entity, files: Sequence[LandedFile]) -> str:
    """What a raw partition was built from: its files' names and bytes, and the way of reading them."""
    facts = [READER_VERSION, entity.raw.digest(), sorted((f.name, f.etag) for f in files)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _difference(entity: Entity, day: date, objects: list[LandingObject], record: PartitionRecord | None) -> FileDifference | None:
    known = {f.name: f for f in record.files} if record else {}
    whole = record is not None and record.fingerprint != fingerprint(entity, record.files)
    unchanged = [o.name for o in objects if not whole and o.name in known and known[o.name].version == o.version]
    read = [o for o in objects if o.name not in unchanged]
    vanished = sorted(known.keys() - {o.name for o in objects})
    if not read and not vanished and not whole:
        return None
    return FileDifference(day, read, vanished, [known[name] for name in unchanged], {} if whole else known, whole)


def _read_stable(
    entity: Entity, landing: Landing, found: LandingObject
) -> "tuple[LandedFile, list[pa.Table], list[Reject]] | None":
    """The rows of an object that did not change while it was read; None where it is gone or won't stand still."""
    version: str | None = found.version
    for _ in range(_READS_OF_A_CHANGING_FILE):
        etag, size = content_etag(), 0

        def counted(etag: "hashlib._Hash" = etag) -> Iterator[bytes]:
            nonlocal size
            for piece in landing.read(found):
                etag.update(piece)
                size += len(piece)
                yield piece

        try:
            batches = list(read_csv(counted(), entity.raw))
        except FileNotFoundError:
            return None
        after = landing.version(found)
        if after == version:
            rows_in = sum(b.rows_in for b in batches)
            rows_out = sum(b.rows.num_rows for b in batches)
            file = LandedFile(found.name, found.version, etag.hexdigest(), size, rows_in, rows_out)
            return file, [_stamped(b, found, file) for b in batches], [r for b in batches for r in b.rejects]
        version = after
    return None


def _stamped(batch: Batch, found: LandingObject, file: LandedFile) -> "pa.Table":
    """The rows with the columns that say where they come from."""
    import pyarrow as pa

    rows, count = batch.rows, batch.rows.num_rows
    numbers = rows.column("_row_number")
    return (
        rows.drop_columns(["_row_number"])
        .append_column("_source_file", pa.repeat(pa.scalar(found.name), count))
        .append_column("_source_etag", pa.repeat(pa.scalar(file.etag), count))
        .append_column("_row_number", numbers)
        .append_column("_date", pa.repeat(pa.scalar(found.date, pa.date32()), count))
    )


def _empty_rows(entity: Entity) -> "pa.Table":
    """No rows of the columns that every raw table of the entity has, so that a table exists even before its first row."""
    import pyarrow as pa

    from lakehouse_assets.contracts.columns import snake_case

    text = [(snake_case(c.name), pa.string()) for c in entity.raw.columns]
    own = [
        ("_source_file", pa.string()),
        ("_source_etag", pa.string()),
        ("_row_number", pa.int64()),
        ("_date", pa.date32()),
    ]
    return pa.schema([*text, *own]).empty_table()
