"""The models of the dbt project and what each is built from, read from dbt's manifest. Needs neither dbt nor Dagster."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord, Records

_PROJECT_FILES = ("dbt_project.yml", "profiles.yml", "macros/**/*.sql", "tests/**/*.sql", "models/**/*.yml", "models/**/*.sql")
_SHARED_FILES = ("dbt_project.yml", "profiles.yml")

BUSINESS_TIME = "macro.lakehouse.business_time"
"""The macro in which the time zone of the business day stands."""

_ZONE_MARK = "@"
"""Separates a model's fingerprint from the time zone of its business day."""

_IGNORED_CONFIG = ("docs", "persist_docs", "tags", "group")
"""Parts of a model's config that change no rows."""


@dataclass(frozen=True)
class Model:
    """A dbt model: the silver tables (`sources`) and models (`refs`) that it reads, and the silver table whose grain it keeps.

    `checksum` is a hash of its SQL, its config, the project's macros that it uses, and its tests, but not of its descriptions.
    `optional` are those of its sources that may be missing. `timezone` is that of the business day, if its rows depend on it.
    """

    name: str
    folder: str
    sources: tuple[str, ...]
    refs: tuple[str, ...]
    checksum: str
    grain_of: str | None
    description: str
    optional: tuple[str, ...] = ()
    timezone: str | None = None

    @property
    def required(self) -> set[str]:
        """The silver tables without which it can't be built."""
        return {*self.sources} - {*self.optional}


def read_models(manifest: Mapping[str, Any], timezone: str = "UTC") -> list[Model]:
    """Return the models, each after those that it reads. `timezone` is that of the business day."""
    nodes = {unique_id: node for unique_id, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    models = {
        node["name"]: Model(
            name=node["name"],
            folder=Path(node["path"]).parent.name,
            sources=_names(node, "source."),
            refs=_names(node, "model."),
            checksum=_checksum(unique_id, node, manifest),
            grain_of=node["config"].get("meta", {}).get("grain_of"),
            description=node["description"],
            optional=tuple(node["config"].get("meta", {}).get("optional_sources", ())),
            timezone=timezone if BUSINESS_TIME in _macros(node, manifest) else None,
        )
        for unique_id, node in nodes.items()
    }
    ordered: dict[str, Model] = {}

    def append(name: str) -> None:
        for ref in models[name].refs:
            if ref not in ordered:
                append(ref)
        ordered.setdefault(name, models[name])

    for name in sorted(models):
        append(name)
    return list(ordered.values())


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
    facts = [shared, model.checksum, [(name, states.get(name)) for name in read]]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return f"{digest}{_ZONE_MARK}{model.timezone}" if model.timezone else digest


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

    `models` must list each model after those that it reads; a model that reads a stale one is stale too. A model with a required
    silver table that was never written is left out: there is nothing to build it from yet.
    """
    models = list(models)
    states = table_states(records)
    built: dict[str, list[PartitionRecord]] = {}
    for (layer, table, _), record in records.items():
        if layer == "gold":
            built.setdefault(table, []).append(record)
    stale: dict[str, set[date]] = {}
    possible: set[str] = set()
    for model in models:
        if not (all(f"silver.{s}" in states for s in model.required) and possible.issuperset(model.refs)):
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


def _names(node: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Return the names of a node's dependencies of one kind, such as `source.`."""
    return tuple(sorted({d.rpartition(".")[2] for d in node["depends_on"]["nodes"] if d.startswith(kind)}))


def _checksum(unique_id: str, node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Return the `checksum` of a model, see `Model`."""
    tests = [
        [
            test["raw_code"],
            test.get("test_metadata"),
            test["config"].get("severity"),
            test["config"].get("where"),
            list(_macros(test, manifest).values()),
        ]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test" and unique_id in _tested(test)
    ]
    config = {name: value for name, value in node["config"].items() if name not in (*_IGNORED_CONFIG, "meta")}
    config["grain_of"] = node["config"].get("meta", {}).get("grain_of")
    facts = [node["checksum"]["checksum"], config, list(_macros(node, manifest).values()), sorted(tests, key=str)]
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
