"""Tables as Iceberg: each snapshot lists the Delta table's own Parquet files. No row is copied.

Delta's files lack the partition column, and have no field ids. Both are in Iceberg's metadata: the value of the column in each file's
entry, and a mapping of names. (`add_files` of PyIceberg takes the value from a file's statistics; where there are none, it would be
NULL.) The tables are marked as not to be cleaned up by Iceberg, because the files belong to Delta: `lakehouse maintain` deletes them.

Only this module knows PyIceberg. It is imported when a catalog is opened.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from deltalake import DeltaTable

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.tables import live_files, paths_and_dates
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.publish.served import Published, Served, State, tables_to_serve
from lakehouse_assets.retry import retried
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table, Transaction

EMBEDDED = "embedded"
"""The catalog in a file of SQLite."""

_CONTENTS, _MEANING = "lakehouse.contents", "lakehouse.meaning"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Iceberg:
    """Tables in namespaces named after their layers, in one catalog.

    `catalog` is `embedded`, with its file at `file` and its metadata below the root; or the name of a catalog that PyIceberg knows by
    its own configuration (`PYICEBERG_CATALOG__<NAME>__URI` and the like): REST, SQL, Glue, Hive.
    """

    catalog: str
    root: Root
    file: Path
    tables: tuple[Served, ...]
    name: str = "iceberg"

    @property
    def kinds(self) -> set[str]:
        """See `Target.kinds`."""
        return {"iceberg"}

    def held(self, wanted: Mapping[str, State]) -> dict[str, State]:
        """See `Target.held`. A table whose snapshot is marked with what is wanted holds that: its files need not be listed."""
        from pyiceberg.exceptions import NoSuchTableError

        found = {}
        with self.opened() as catalog:
            for title, state in wanted.items():
                try:
                    table = catalog.load_table(title)
                except NoSuchTableError:
                    continue
                columns = {field.name: str(field.field_type) for field in table.schema().fields}
                found[title] = State(columns, _held_contents(table, state), table.properties.get(_MEANING, ""))
        return found

    def wanted(self, served: Served, table: DeltaTable, contents: Mapping[date, str]) -> State:
        """See `Target.wanted`. The contents are those of the files alone, which the snapshot lists."""
        del contents
        facts = [served.description, dict(served.columns)]
        files = ((unquote(path), day) for path, day in zip(*paths_and_dates(table), strict=True))
        meaning = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return State({field.name: _type(field.type) for field in _schema(table)}, _contents(files), meaning)

    def publish(self, root: Root, tables: Sequence[Served], run_id: str) -> Iterator[Published]:
        """Make a snapshot of each of these tables whose files differ; each is one commit. If another publisher is first, look again."""
        from pyiceberg.exceptions import CommitFailedException

        written = list(tables_to_serve(root, tables))
        with self.opened() as catalog:
            for served in written:
                publish = _Publisher(self, catalog, root, served, run_id)
                yield retried(publish, attempts=8, first_pause=0.05, on_error=CommitFailedException)

    @contextmanager
    def opened(self) -> "Iterator[Catalog]":
        """Open the catalog.

        Raises:
            SettingsError: it can't be reached, or PyIceberg knows none of that name.
        """
        from pyiceberg.catalog import load_catalog
        from pyiceberg.exceptions import RESTError
        from requests.exceptions import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        name, own = self.catalog, dict[str, str]()
        if name == EMBEDDED:
            name = "lakehouse"
            self.file.parent.mkdir(parents=True, exist_ok=True)
            own = {"type": "sql", "uri": f"sqlite:///{self.file}", "warehouse": _uri(self.root, "iceberg")}
        try:
            yield load_catalog(name, **own, **_store(self.root))
        except (RESTError, RequestException, SQLAlchemyError, ValueError) as error:
            # Without its text, which may quote an address with a password.
            raise SettingsError(
                f"LAKEHOUSE_ICEBERG_CATALOG: the catalog {self.catalog!r} can't be used ({type(error).__name__}). Its settings are "
                f"PyIceberg's own: PYICEBERG_CATALOG__{self.catalog.upper()}__URI and so on, or .pyiceberg.yaml."
            ) from None


@dataclass(frozen=True)
class _Publisher:
    """Brings one table up to date, from the version that is to be served."""

    target: Iceberg
    catalog: "Catalog"
    root: Root
    served: Served
    run_id: str

    def __call__(self) -> Published:
        """Commit what differs, if anything does."""
        [delta] = tables_to_serve(self.root, [self.served]).values()  # tables are never removed while they are published
        wanted = self.target.wanted(self.served, delta, {})
        done = Published(self.served, delta.version(), columns=wanted.columns)
        if lacking := [f"{name} ({kind})" for name, kind in wanted.columns.items() if not _is_known(kind)]:
            return replace(done, refusal=f"columns of lists or records are not published: {', '.join(lacking)}.")
        table = self._table(wanted)
        if _MEANING not in table.properties:
            return replace(
                done, refusal=f"the catalog has a table {self.served.title} that the lakehouse has not made. Rename or drop it."
            )
        files = {_uri(self.root, self.served.layer, self.served.name, unquote(f["path"])): f for f in live_files(delta)}
        held = {task.file.file_path: task.file for task in table.scan().plan_files()}
        added = {uri: file for uri, file in files.items() if uri not in held}
        removed = [file for uri, file in held.items() if uri not in files]
        with table.transaction() as change:
            self._follow(change, wanted)
            if added or removed or _held_mark(table) != _mark(wanted):
                properties = {
                    _CONTENTS: _mark(wanted),
                    "lakehouse.delta-version": str(delta.version()),
                    "lakehouse.run-id": self.run_id,
                }
                with change.update_snapshot(snapshot_properties=properties).overwrite() as snapshot:
                    for uri, file in added.items():
                        snapshot.append_data_file(_data_file(change, uri, file))
                    for gone in removed:
                        snapshot.delete_data_file(gone)
        dates = {file["date"] for file in added.values()} | {_date_of(file) for file in removed}
        return replace(done, rows=sum(file["num_records"] for file in added.values()), partitions=len(dates))

    def _table(self, wanted: State) -> "Table":
        """Return the table in the catalog, created empty if there is none."""
        from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.table.name_mapping import create_mapping_from_schema
        from pyiceberg.transforms import IdentityTransform

        try:
            return self.catalog.load_table(self.served.title)
        except NoSuchTableError:
            pass
        schema = _iceberg_schema(self.served, wanted.columns)
        day = schema.find_field(DATE_COLUMN).field_id
        self.catalog.create_namespace_if_not_exists(self.served.layer)
        try:
            return self.catalog.create_table(
                self.served.title,
                schema,
                partition_spec=PartitionSpec(PartitionField(day, 1000, IdentityTransform(), DATE_COLUMN)),
                properties={
                    "schema.name-mapping.default": create_mapping_from_schema(schema).model_dump_json(),
                    "gc.enabled": "false",  # the files are Delta's
                    "commit.retry.num-retries": "0",  # what is to be committed is computed again, from the newest of both
                    "write.metadata.delete-after-commit.enabled": "true",
                    "write.metadata.previous-versions-max": "20",
                    "comment": self.served.description,
                    _MEANING: wanted.meaning,
                },
            )
        except TableAlreadyExistsError:
            return self.catalog.load_table(self.served.title)

    def _follow(self, change: "Transaction", wanted: State) -> None:
        """Give the table the columns and descriptions that it should have."""
        metadata = change.table_metadata
        present = {field.name: field for field in metadata.schema().fields}
        if metadata.properties.get(_MEANING) != wanted.meaning:
            change.set_properties({_MEANING: wanted.meaning, "comment": self.served.description})
        retyped = [name for name, kind in wanted.columns.items() if name in present and str(present[name].field_type) != kind]
        gone = [name for name in present if name not in wanted.columns]
        if gone or retyped:
            with change.update_schema(allow_incompatible_changes=True) as update:
                for name in (*gone, *retyped):
                    update.delete_column((name,))
        with change.update_schema() as update:
            for name, kind in wanted.columns.items():
                doc = self.served.columns.get(name)
                if name not in present or name in retyped:
                    update.add_column((name,), _types().get(kind) or _decimal(kind), doc)
                elif present[name].doc != doc and doc:
                    update.update_column((name,), doc=doc)


def _held_mark(table: "Table") -> str | None:
    """The mark of the current snapshot; None if another program made it, or there is none."""
    snapshot = table.current_snapshot()
    return snapshot.summary.get(_CONTENTS) if snapshot is not None and snapshot.summary is not None else None


def _held_contents(table: "Table", wanted: State) -> dict[date, str]:
    if _held_mark(table) == _mark(wanted):
        return dict(wanted.contents)
    prefix = "/".join(table.name())
    return _contents((t.file.file_path.rpartition(f"/{prefix}/")[2], _date_of(t.file)) for t in table.scan().plan_files())


def _contents(files: Iterable[tuple[str, date]]) -> dict[date, str]:
    """By date, a hash of the paths of its files. A file never changes."""
    paths: dict[date, list[str]] = {}
    for path, day in files:
        paths.setdefault(day, []).append(path)
    return {day: hashlib.sha256("\n".join(sorted(of_day)).encode()).hexdigest()[:16] for day, of_day in paths.items()}


def _mark(state: State) -> str:
    """A hash of all contents."""
    return hashlib.sha256(repr(sorted(state.contents.items())).encode()).hexdigest()[:16]


def _data_file(change: "Transaction", uri: str, file: Mapping[str, Any]) -> "DataFile":
    """The entry of one of Delta's files: the value of its partition column, and statistics from its footer."""
    import pyarrow.parquet as pq
    from pyiceberg.io.pyarrow import (
        compute_statistics_plan,
        data_file_statistics_from_parquet_metadata,
        parquet_path_to_id_mapping,
    )
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    metadata, schema = change.table_metadata, change.table_metadata.schema()
    with change._table.io.new_input(uri).open() as opened:
        footer = pq.read_metadata(opened)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(schema, metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=Record((file["date"] - _EPOCH).days),
        file_size_in_bytes=file["size_bytes"],
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _date_of(file: "DataFile") -> date:
    day = file.partition[0]
    return day if isinstance(day, date) else date.fromordinal(_EPOCH.toordinal() + day)


def _uri(root: Root, *parts: str) -> str:
    return root.path(*parts) if root.bucket else f"file://{root.path(*parts)}"


def _store(root: Root) -> dict[str, str]:
    """The properties by which PyIceberg finds the store. It takes the keys from the environment, as all others do."""
    if not root.bucket:
        return {}
    store = s3_settings()
    return {"s3.region": store.region, **({"s3.endpoint": store.endpoint} if store.endpoint else {})}


def _schema(table: DeltaTable) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(table.schema().to_arrow())


_TYPES = {
    "bool": "boolean",
    "int8": "int",
    "int16": "int",
    "int32": "int",
    "int64": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "binary_view": "binary",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamptz",
    "timestamp[us]": "timestamp",
}
"""Iceberg's types by Arrow's."""


def _type(kind: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    return _TYPES.get(str(kind), str(kind))


def _is_known(kind: str) -> bool:
    return kind in _TYPES.values() or kind.startswith("decimal(")


def _types() -> dict[str, Any]:
    from pyiceberg import types

    kinds = (
        *(types.BooleanType(), types.IntegerType(), types.LongType(), types.FloatType(), types.DoubleType()),
        *(types.StringType(), types.BinaryType(), types.DateType(), types.TimestamptzType(), types.TimestampType()),
    )
    return {str(kind): kind for kind in kinds}


def _decimal(kind: str) -> Any:
    from pyiceberg.types import DecimalType

    precision, scale = kind.removeprefix("decimal(").rstrip(")").split(", ")
    return DecimalType(int(precision), int(scale))


def _iceberg_schema(served: Served, columns: Mapping[str, str]) -> "Schema":
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    known = _types()
    return Schema(
        *(
            NestedField(number, name, known.get(kind) or _decimal(kind), required=False, doc=served.columns.get(name))
            for number, (name, kind) in enumerate(columns.items(), start=1)
        )
    )
