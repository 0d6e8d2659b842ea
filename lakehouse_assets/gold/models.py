"""The models of the dbt project and what each is built from, read from dbt's manifest. Needs neither dbt nor Dagster."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord, Records
from lakehouse_assets.contracts.provenance import IN_SILVER, typed_columns
from lakehouse_assets.contracts.types import in_duckdb

_PROJECT_FILES = (
    *("dbt_project.yml", "profiles.yml", "macros/**/*.sql", "macros/**/*.yml", "tests/**/*.sql", "tests/**/*.yml"),
    *("models/**/*.yml", "models/**/*.sql", "models/**/*.py", "seeds/**/*.csv", "seeds/**/*.yml"),
)
_SHARED_FILES = ("dbt_project.yml", "profiles.yml")

BUSINESS_TIME = "macro.lakehouse.business_time"
"""The macro in which the time zone of the business day stands."""

PUBLIC_HOLIDAYS = "macro.lakehouse.public_holidays"
"""The macro through which models read public holidays."""

_ZONE_MARK = "@"
"""Separates a model's fingerprint from the time zone of its business day."""

_BY_CHANGE = "by_change"
"""The materialization of models that can be built from what has changed."""

_IGNORED_CONFIG = ("docs", "persist_docs", "tags", "group", "access")
"""Parts of a model's config that change no rows."""


@dataclass(frozen=True)
class Model:
    """A dbt model: the silver tables (`sources`) and models (`refs`) that it reads, directly or through ephemeral models.

    `grain_of` are the silver tables whose rows make its rows: each with SQL for how many one of its rows makes, or None for one.
    `checksum` is a hash of its SQL, its config, the macros, seeds and tests of the project that it uses, but not of descriptions.
    `optional` are those of its sources that may be missing; of `any_of`, if there are some, one must have been written. `timezone`
    is that of the business day, and `holidays` says which public holidays are meant, if its rows depend on them. `follows` says that
    it can be built from what has changed, see `changes.py`. `key` is the column that its tests call unique, and `foreign_keys` are
    the others named `<entity>_key`.
    """

    name: str
    folder: str
    sources: tuple[str, ...]
    refs: tuple[str, ...]
    checksum: str
    grain_of: tuple[tuple[str, str | None], ...]
    description: str
    optional: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    timezone: str | None = None
    holidays: str | None = None
    follows: bool = False
    key: str | None = None
    foreign_keys: tuple[str, ...] = ()

    @property
    def required(self) -> set[str]:
        """The silver tables without which it can't be built."""
        return {*self.sources} - {*self.optional}

    def can_be_built(self, written: Collection[str]) -> bool:
        """Whether enough of its silver tables have been written; the others are read as empty tables."""
        return self.required <= {*written} and (not self.any_of or not {*self.any_of}.isdisjoint(written))


def read_models(manifest: Mapping[str, Any], timezone: str = "UTC", holidays: str = "") -> list[Model]:
    """Return the models, each after those that it reads.

    `timezone` is that of the business day; `holidays` says on what the public holidays depend that the models read.
    """
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and not _is_ephemeral(node)]
    models = {node["name"]: _model(node, manifest, timezone, holidays) for node in nodes}
    ordered: dict[str, Model] = {}

    def append(name: str) -> None:
        for ref in models[name].refs:
            if ref not in ordered:
                append(ref)
        ordered.setdefault(name, models[name])

    for name in sorted(models):
        append(name)
    return list(ordered.values())


Columns = Mapping[tuple[str, str], Mapping[str, str]]
"""By layer and table: DuckDB's types of its columns, by name."""


def silver_columns(manifest: Mapping[str, Any]) -> Columns:
    """Return the columns of each silver table that the project's sources describe."""
    provenance = {name: in_duckdb(kind) for name, kind in typed_columns(IN_SILVER).items()}
    sources = [source for source in manifest.get("sources", {}).values() if source["source_name"] == "silver"]
    return {("silver", source["name"]): columns | provenance for source in sources if (columns := _typed(source))}


def gold_columns(manifest: Mapping[str, Any]) -> Columns:
    """Return the columns of each model that the project's YAML describes."""
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and not _is_ephemeral(node)]
    return {("gold", model["name"]): columns for model in models if (columns := _typed(model))}


def _typed(node: Mapping[str, Any]) -> dict[str, str]:
    return {column["name"]: column["data_type"] for column in node["columns"].values() if column.get("data_type")}


@dataclass(frozen=True)
class Seed:
    """A CSV file of the dbt project, which models read as a table. `types` are DuckDB's types of its columns, by name."""

    name: str
    file: Path
    types: Mapping[str, str]


def read_seeds(manifest: Mapping[str, Any], folders: Mapping[str, Path]) -> list[Seed]:
    """Return the seeds of the project; `folders` are those of its dbt packages, by name."""
    return [
        Seed(
            name=node["name"],
            file=folders[node["package_name"]] / node["original_file_path"],
            types={column["name"]: column.get("data_type") or "varchar" for column in node["columns"].values()},
        )
        for node in manifest["nodes"].values()
        if node["resource_type"] == "seed"
    ]


def project_digest(folder: Path) -> str:
    """Return a hash of all files that dbt's manifest depends on."""
    return _digest(folder, _PROJECT_FILES)


def shared_digest(folder: Path) -> str:
    """Return a hash of what any model may depend on: the project's settings and variables, without comments."""
    files = [file for name in _SHARED_FILES if (file := folder / name).exists()]
    lines = [line for file in files for line in file.read_text().splitlines() if line.split("#")[0].strip()]
    code = [line for line in lines if not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


def model_fingerprint(model: Model, states: Mapping[str, str], shared: str) -> str:
    """Return a hash of what a model is built from: its SQL, and the states (see `table_states`) of the tables that it reads.

    If its rows depend on the business day, the time zone follows in plain text, so that a plan can say that it has changed.
    """
    read = [*(f"silver.{name}" for name in model.sources), *(f"gold.{name}" for name in model.refs)]
    facts = [shared, model.checksum, [(name, states.get(name)) for name in read], *([model.holidays] if model.holidays else [])]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return f"{digest}{_ZONE_MARK}{model.timezone}" if model.timezone else digest


def code_digest(model: Model, shared: str) -> str:
    """Return a hash of the code and the settings that make a model's rows, whatever tables it reads."""
    return hashlib.sha256(json.dumps([shared, model.checksum, model.timezone, model.holidays]).encode()).hexdigest()[:16]


def zone_built_in(record: PartitionRecord) -> str | None:
    """Return the time zone of the business day with which a model was built, if its rows depend on it."""
    return record.fingerprint.partition(_ZONE_MARK)[2] or None


def table_states(records: Records) -> dict[str, str]:
    """Return the state of each silver and gold table: a hash of its id and of what its partitions were built from.

    The version is not part of it, because a restored table reaches the same version again with other rows. While some records are
    unverified, the state is a hash of the contents instead, so models built from these are stale once the records are verified.
    """
    by_table: dict[str, list[PartitionRecord]] = {}
    for (layer, table, _), record in records.items():
        if layer != "raw":
            by_table.setdefault(f"{layer}.{table}", []).append(record)
    return {name: _state(table_records) for name, table_records in by_table.items()}


def _state(records: list[PartitionRecord]) -> str:
    """Return the state of one table, see `table_states`."""
    unverified = any(record.is_unverified for record in records)
    facts = sorted((r.date.isoformat(), r.table_id, r.content if unverified else r.fingerprint) for r in records)
    return f"{'unsettled/' if unverified else ''}{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def stale_models(models: Iterable[Model], records: Records, shared: str) -> dict[str, set[date]]:
    """Return the models that were not built from the current silver, gold and SQL, each with the dates that have changed.

    `models` must list each model after those that it reads; a model that reads a stale one is stale too. A model of which too few
    silver tables have been written is left out: there is nothing to build it from yet.
    """
    models = list(models)
    states = table_states(records)
    written = {table for (layer, table, _) in records if layer == "silver"}
    built: dict[str, list[PartitionRecord]] = {}
    for (layer, table, _), record in records.items():
        if layer == "gold":
            built.setdefault(table, []).append(record)
    stale: dict[str, set[date]] = {}
    possible: set[str] = set()
    for model in models:
        if not (written and model.can_be_built(written) and possible.issuperset(model.refs)):
            continue
        possible.add(model.name)
        model_records = built.get(model.name, [])
        fingerprint = model_fingerprint(model, states, shared)
        if any(ref in stale for ref in model.refs) or {r.fingerprint for r in model_records} != {fingerprint}:
            changed = _changed_dates(model, model_records, records).union(*(stale.get(ref, set()) for ref in model.refs))
            changed |= {record.date for record in model_records if record.is_unverified}
            # If no rows have changed, the SQL has: build all dates.
            stale[model.name] = changed or {day for (layer, _, day) in records if layer == "silver"}
    return stale


def _changed_dates(model: Model, built: list[PartitionRecord], records: Records) -> set[date]:
    """Return the dates on which the model's silver tables have changed since it was built."""
    read = {i.table: i for record in built for i in record.inputs}
    return {
        day
        for (layer, table, day), record in records.items()
        if layer == "silver" and table in model.sources and _is_newer(record, read.get(f"silver.{table}"))
    }


def _is_newer(record: PartitionRecord, read: InputVersion | None) -> bool:
    return read is None or record.table_id != read.table_id or record.delta_version > read.delta_version


def _model(node: Mapping[str, Any], manifest: Mapping[str, Any], timezone: str, holidays: str) -> Model:
    parts = [node, *_ephemeral(node, manifest)]
    meta, reads = node["config"].get("meta", {}), {d for part in parts for d in part["depends_on"]["nodes"]}
    sources = _names(reads, "source.")
    grain = meta.get("grain_of") or {}
    needed = meta.get("needs_one_of")
    macros = [macro for part in parts for macro in _macros(part, manifest)]
    key = _unique_column(node, manifest)
    return Model(
        name=node["name"],
        folder=Path(node["path"]).parent.name,
        sources=sources,
        refs=_names(reads - {part["unique_id"] for part in parts[1:]}, "model."),
        checksum=_checksum(node, parts[1:], manifest),
        grain_of=((grain, None),) if isinstance(grain, str) else tuple(grain.items()),
        description=node["description"],
        optional=tuple(meta.get("optional_sources", ())) if needed is None else sources,
        any_of=tuple(needed or ()),
        timezone=timezone if BUSINESS_TIME in macros else None,
        holidays=holidays if PUBLIC_HOLIDAYS in macros else None,
        follows=node["config"].get("materialized") == _BY_CHANGE,
        key=key,
        foreign_keys=tuple(column for column in node.get("columns", {}) if column.endswith("_key") and column != key),
    )


def _unique_column(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    """Return the first column of a model that a test calls unique."""
    unique = {
        test.get("column_name")
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        and test.get("attached_node") == node["unique_id"]
        and (test.get("test_metadata") or {}).get("name") == "unique"
    }
    return next((column for column in node.get("columns", {}) if column in unique), None)


def _is_ephemeral(node: Mapping[str, Any]) -> bool:
    """Whether dbt puts the model's SQL into those that read it: it is no table."""
    return bool(node["config"].get("materialized") == "ephemeral")


def _ephemeral(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the ephemeral models that a model reads, directly or through others."""
    pending, read = list(node["depends_on"]["nodes"]), dict[str, Mapping[str, Any]]()
    while pending:
        unique_id = pending.pop()
        upstream = manifest["nodes"].get(unique_id)
        if upstream is not None and unique_id not in read and _is_ephemeral(upstream):
            read[unique_id] = upstream
            pending += upstream["depends_on"]["nodes"]
    return [read[unique_id] for unique_id in sorted(read)]


def _names(nodes: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the names of those nodes that are of one kind, such as `source.`."""
    return tuple(sorted({node.rpartition(".")[2] for node in nodes if node.startswith(kind)}))


def _checksum(node: Mapping[str, Any], inlined: Collection[Mapping[str, Any]], manifest: Mapping[str, Any]) -> str:
    """Return the `checksum` of a model, see `Model`. `inlined` are the ephemeral models in its SQL."""
    tests = [
        [
            test["raw_code"],
            test.get("test_metadata"),
            test["config"].get("severity"),
            test["config"].get("where"),
            list(_macros(test, manifest).values()),
        ]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test" and node["unique_id"] in _tested(test)
    ]
    config = {name: value for name, value in node["config"].items() if name not in (*_IGNORED_CONFIG, "meta")}
    config["grain_of"] = node["config"].get("meta", {}).get("grain_of")
    facts = [node["checksum"]["checksum"], config, list(_macros(node, manifest).values()), sorted(tests, key=str)]
    facts += [[part["checksum"]["checksum"], list(_macros(part, manifest).values())] for part in inlined]
    seeds = {d for part in [node, *inlined] for d in part["depends_on"]["nodes"] if d.startswith("seed.")}
    facts += [manifest["nodes"][seed]["checksum"]["checksum"] for seed in sorted(seeds)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _tested(test: Mapping[str, Any]) -> list[str]:
    """Return the ids of the models that a test covers: the one that declares it, or those that its query reads."""
    attached = test.get("attached_node")
    return [attached] if attached else list(test.get("depends_on", {}).get("nodes", ()))


def _macros(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the SQL of the project's own macros that a model or test uses, directly or indirectly, by their ids."""
    macros = manifest.get("macros", {})
    pending, used = list(node["depends_on"].get("macros", [])), set[str]()
    while pending:
        name = pending.pop()
        macro = macros.get(name)
        if macro is not None and name not in used and not name.startswith(("macro.dbt.", "macro.dbt_duckdb.")):
            used.add(name)
            pending += macro["depends_on"]["macros"]
    return {name: macros[name]["macro_sql"] for name in sorted(used)}


def _digest(folder: Path, patterns: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern)}):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
