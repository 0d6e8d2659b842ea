"""The models of the dbt project and what each is built from, as dbt's manifest tells. Needs neither dbt nor Dagster."""

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

_UNSAID = ("docs", "persist_docs", "tags", "group")
"""Parts of a model's config that change no row."""


@dataclass(frozen=True)
class Model:
    """A dbt model: the silver tables and the models that it reads, and the silver table whose grain it keeps.

    `checksum` is a hash of its SQL, its config, the project's macros that it uses, and its tests. What describes it does not count.
    """

    name: str
    folder: str
    sources: tuple[str, ...]
    refs: tuple[str, ...]
    checksum: str
    grain_of: str | None
    description: str


def read_models(manifest: Mapping[str, Any]) -> list[Model]:
    """The models, each after those that it reads."""
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
        )
        for unique_id, node in nodes.items()
    }
    ordered: dict[str, Model] = {}

    def place(name: str) -> None:
        for ref in models[name].refs:
            if ref not in ordered:
                place(ref)
        ordered.setdefault(name, models[name])

    for name in sorted(models):
        place(name)
    return list(ordered.values())


def project_digest(folder: Path) -> str:
    """A hash of all files that decide what dbt's manifest says."""
    return _digest(folder, _PROJECT_FILES)


def shared_digest(folder: Path) -> str:
    """A hash of what any model may depend on: the project's settings and variables, their comments aside."""
    files = [file for name in _SHARED_FILES if (file := folder / name).exists()]
    lines = [line for file in files for line in file.read_text().splitlines() if line.split("#")[0].strip()]
    said = [line for line in lines if not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def model_fingerprint(model: Model, states: Mapping[str, str], shared: str) -> str:
    """What a model is built from: its SQL, and the states (see `table_states`) of the tables that it reads."""
    read = [*(f"silver.{name}" for name in model.sources), *(f"gold.{name}" for name in model.refs)]
    facts = [shared, model.checksum, [(name, states.get(name)) for name in read]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def table_states(records: Records) -> dict[str, str]:
    """The state of each silver and gold table: which table it is, and what its partitions were built from.

    Not its version, which a table that was put back reaches again with other rows. Where records don't say how a table stands, its
    state is what it holds, so that what was built from that is stale once they do.
    """
    by_table: dict[str, list[PartitionRecord]] = {}
    for (layer, table, _), record in records.items():
        by_table.setdefault(f"{layer}.{table}", []).append(record)
    return {name: _state(of_table) for name, of_table in by_table.items()}


def _state(records: list[PartitionRecord]) -> str:
    unsettled = any(record.is_unverified for record in records)
    facts = sorted((r.date.isoformat(), r.table_id, r.content if unsettled else r.fingerprint) for r in records)
    return f"{'unsettled/' if unsettled else ''}{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def stale_models(models: Iterable[Model], records: Records, shared: str) -> dict[str, set[date]]:
    """The models that were built from something else than what silver, gold and the SQL are now, each with the dates that have changed.

    Models stand after those that they read; where one of these is stale, so are they. A model of which some silver table was never
    written is left out: there is nothing to build it from yet.
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
        if not (all(f"silver.{s}" in states for s in model.sources) and possible.issuperset(model.refs)):
            continue
        possible.add(model.name)
        of_model = built.get(model.name, [])
        due = model_fingerprint(model, states, shared)
        if any(ref in stale for ref in model.refs) or {r.fingerprint for r in of_model} != {due}:
            changed = _changed_dates(model, of_model, records).union(*(stale.get(ref, set()) for ref in model.refs))
            changed |= {record.date for record in of_model if record.is_unverified}
            # Where no row has changed, the SQL has: then all dates are built anew.
            stale[model.name] = changed or {day for (layer, _, day) in records if layer == "silver"}
    return stale


def _changed_dates(model: Model, built: list[PartitionRecord], records: Records) -> set[date]:
    """The dates of the model's silver tables that have changed since it was built."""
    read = {i.table: i for record in built for i in record.inputs}
    return {
        day
        for (layer, table, day), record in records.items()
        if layer == "silver" and table in model.sources and _is_newer(record, read.get(f"silver.{table}"))
    }


def _is_newer(record: PartitionRecord, read: InputVersion | None) -> bool:
    return read is None or record.table_id != read.table_id or record.delta_version > read.delta_version


def _names(node: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(sorted({d.rpartition(".")[2] for d in node["depends_on"]["nodes"] if d.startswith(kind)}))


def _checksum(unique_id: str, node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    tests = [
        [
            test["raw_code"],
            test.get("test_metadata"),
            test["config"].get("severity"),
            test["config"].get("where"),
            _macros(test, manifest),
        ]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test" and unique_id in _tested(test)
    ]
    config = {name: value for name, value in node["config"].items() if name not in (*_UNSAID, "meta")}
    config["grain_of"] = node["config"].get("meta", {}).get("grain_of")
    facts = [node["checksum"]["checksum"], config, _macros(node, manifest), sorted(tests, key=str)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _tested(test: Mapping[str, Any]) -> list[str]:
    """The models that a test is about: the one that declares it, or those that its query reads."""
    attached = test.get("attached_node")
    return [attached] if attached else list(test.get("depends_on", {}).get("nodes", ()))


def _macros(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """The SQL of the project's own macros that a model or test uses, one by way of the other."""
    macros = manifest.get("macros", {})
    due, used = list(node["depends_on"].get("macros", [])), set[str]()
    while due:
        name = due.pop()
        macro = macros.get(name)
        if macro is not None and name not in used and not name.startswith(("macro.dbt.", "macro.dbt_duckdb.")):
            used.add(name)
            due += macro["depends_on"]["macros"]
    return [macros[name]["macro_sql"] for name in sorted(used)]


def _digest(folder: Path, patterns: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern)}):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
