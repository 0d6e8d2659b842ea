"""Gold assets: one Dagster asset per dbt model; dbt tests are its asset checks."""

import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from obstore.exceptions import BaseError

from lakehouse_assets.books.accounts import account_metadata
from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.books.refused import RefusedPartitions
from lakehouse_assets.books.runs import BUILT, FAILED, SKIPPED, UNCHANGED, TableRun
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.delta.tables import TableFacts, table_facts
from lakehouse_assets.errors import LakehouseError, PartitionGuardError
from lakehouse_assets.gold.changes import changes_since_built, followed_dates
from lakehouse_assets.gold.dbt import unquoted_output
from lakehouse_assets.gold.failures import failing_rows
from lakehouse_assets.gold.lineage import model_lineage
from lakehouse_assets.gold.models import Model, gold_columns, model_fingerprint, silver_columns, table_states
from lakehouse_assets.gold.project import RUN_DATABASE, RUN_ROOT, GoldProject
from lakehouse_assets.gold.publish import fill_database, model_records, open_tables, publish_model, rows_of_grain
from lakehouse_assets.hooks.dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtProject,
    QuickStartDbt,
    dbt_assets,
)
from lakehouse_assets.hooks.partition_status import show_as_built
from lakehouse_assets.materialization.presentation import column_lineage, docs_metadata, table_metadata
from lakehouse_assets.materialization.run_book import RunBook, note_accounts, note_bytes
from lakehouse_assets.store.errors import Unquoted, store_error, unquoted
from lakehouse_assets.store.root import Root


class GoldTranslator(DagsterDbtTranslator):
    """Gives dbt models the asset keys, groups and links of the lakehouse."""

    def __init__(self, docs_url: str | None) -> None:
        # The user's project and the lakehouse's own may both list a silver table.
        super().__init__(
            settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_code_references=True)
        )
        self._docs_url = docs_url

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Return the spec of a model (`gold/<name>`) or of a silver source (`silver/<name>`)."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        if props["resource_type"] == "source":
            return spec.replace_attributes(key=dg.AssetKey(["silver", props["name"]]))
        owner = props["config"].get("meta", {}).get("owner")
        return spec.replace_attributes(
            key=dg.AssetKey(["gold", props["name"]]),
            group_name=f"gold_{Path(props['path']).parent.name}",
            owners=[owner] if owner else [],
            kinds={"dbt", "duckdb", "deltalake"},
            tags={**spec.tags, "layer": "gold"},
            description=props["description"],
        ).merge_attributes(
            metadata={
                "dagster/partition_expr": DATE_COLUMN,
                "dagster/storage_kind": "deltalake",
                "dagster/table_name": f"gold.{props['name']}",
                **docs_metadata(props["name"], self._docs_url),
            }
        )

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the asset key; parts of dagster-dbt ask for the key only."""
        layer = "silver" if dbt_resource_props["resource_type"] == "source" else "gold"
        return dg.AssetKey([layer, dbt_resource_props["name"]])


def gold_assets(
    *,
    root: Root,
    project: GoldProject,
    manifest: Mapping[str, Any],
    partitions: dg.PartitionsDefinition[str],
    docs_url: str | None,
) -> dg.AssetsDefinition:
    """Define all models as one multi-asset.

    A run builds and tests the selected models in its own database file, then publishes those that passed.
    """
    models, columns = project.models_of(manifest), silver_columns(manifest)
    layout = {**columns, **gold_columns(manifest)}

    @dbt_assets(
        manifest=_without_seeds(manifest),
        project=DbtProject(project_dir=project.folder),
        name="gold",
        dagster_dbt_translator=GoldTranslator(docs_url),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="gold",
    )
    @Unquoted(root)
    def _gold(
        context: dg.AssetExecutionContext, dbt: QuickStartDbt, run_book: dg.ResourceParam[RunBook]
    ) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        selected = {key.path[-1] for key in context.selected_asset_keys}
        read, shared = open_tables(root, models), project.shared_digest
        states = table_states(read.records)
        notes = {name: run_book.new("gold", name, FAILED) for name in sorted(selected)}
        with tempfile.TemporaryDirectory(prefix="lakehouse-gold-") as folder:
            database = Path(folder, "run.duckdb")
            # Checks alone find what was never built empty. A model that is built must not.
            empty = columns if selected else layout
            changes = changes_since_built(models, selected, read.opened, read.records, shared)
            fill_database(database, root, read, selected, empty, project.seeds(manifest), changes)
            built, checks, faulty, compiled = _build(context, dbt, root, database, project)
            refused = {c.asset_key.path[-1] for c in checks if _blocks(c) and c.asset_key is not None}
            unpublished = _Unpublished(root, refused | (selected - built.keys()))
            published: dict[str, DeltaTable] = {}
            records: list[PartitionRecord] = []
            with new_connection(root) as connection:
                connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")
                for model in (m for m in models if m.name in selected):
                    began = time.perf_counter()
                    # Its inputs: the tables as the run found them, and the upstream models that this run has just published.
                    fingerprint = model_fingerprint(model, states, shared)
                    if model.name in refused or model.name in faulty:
                        unpublished.refuse(model, fingerprint)
                    if model.name not in built or model.name in refused or unpublished.has_failed_input(model):
                        continue
                    try:
                        found = read.opened.get(("gold", model.name))
                        new = publish_model(
                            connection,
                            root,
                            model,
                            fingerprint=fingerprint,
                            run_id=context.run_id,
                            opened=found.version() if found is not None else None,
                        )
                    except Exception as error:  # noqa: BLE001 - raised once the other models are published
                        unpublished.add(model, error, fingerprint)
                        continue
                    arrived = rows_of_grain(connection, model, read.records)
                    new_records = model_records(
                        model,
                        new.table,
                        read,
                        {("gold", name): upstream for name, upstream in published.items()},
                        arrived,
                        shared=shared,
                        fingerprint=fingerprint,
                        run_id=context.run_id,
                    )
                    published[model.name] = new.table
                    records += new_records
                    states |= table_states({("gold", model.name, r.date): r for r in new_records})
                    facts = table_facts(new.table)
                    followed = followed_dates(connection, model.name)
                    _note(notes[model.name], new_records, followed, facts, changed=new.commit.changed)
                    _log_facts(context, model, facts)
                    output = built[model.name]
                    built_from = (
                        "the whole of its tables" if followed is None else f"what changed: {len(followed)} dates of its rows"
                    )
                    metadata = {
                        **_without_internals(output.metadata),
                        **_metadata(root, model, facts),
                        **column_lineage(model_lineage(model, partial(compiled, model.name), layout, shared)),
                        "committed": new.commit.changed,
                        "built_from": built_from,
                        **{f"rows_rekeyed/{column}": rows for column, rows in new.rows_rekeyed.items()},
                    }
                    of_dbt = output.metadata.get("Execution Duration")
                    notes[model.name].seconds = round(
                        time.perf_counter() - began + (of_dbt.value or 0 if isinstance(of_dbt, dg.FloatMetadataValue) else 0), 3
                    )
                    yield dg.Output(None, output_name=output.output_name, metadata=metadata)
            _show_as_built(context, published, partitions, project.start)
            # If the step is killed before the records, the next pass builds the models again and finds the same rows.
            if selected:
                opened = read.opened | {("gold", name): table for name, table in published.items()}
                Manifests(root).publish(opened, built=published, failed=selected - published.keys(), run_id=context.run_id)
            if published:
                record_partitions(root, "gold", published, lambda known: records, context.run_id)
        for name in selected - published.keys():
            failed = _failures({name}, [c for c in checks if c.asset_key == dg.AssetKey(["gold", name])])[:-1]
            why = faulty.get(name) or unpublished.reasons.get(name) or " ".join(failed) or faulty.get("")
            notes[name].status, notes[name].error = (FAILED, why) if why else (SKIPPED, None)
        yield from (check._replace(metadata=_without_internals(check.metadata)) for check in checks)
        for name, fingerprint in unpublished.refused.items():
            # A model is built as a whole, so the refusal may use any date.
            first = date.fromisoformat(min(context.partition_keys))
            RefusedPartitions(root).record("gold", name, {first: fingerprint}, "by its tests or its SQL", context.run_id)
        for name, reason in unpublished.reasons.items():
            context.log_event(dg.AssetObservation(dg.AssetKey(["gold", name]), metadata={"not_published": reason}))
        if unpublished.bug is not None:
            raise unpublished.bug
        if refused or faulty or unpublished.reasons:
            raise dg.Failure("\n".join([*_failures(refused, checks), *faulty.values(), *unpublished.reasons.values()]))

    return _gold


def _without_seeds(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest without its seeds, which are not assets: each run has all of them in its database."""
    seeds = {unique_id for unique_id, node in manifest["nodes"].items() if node["resource_type"] == "seed"}
    nodes = {
        unique_id: {**node, "depends_on": {**node["depends_on"], "nodes": _others(node["depends_on"]["nodes"], seeds)}}
        for unique_id, node in manifest["nodes"].items()
        if unique_id not in seeds and node.get("attached_node") not in seeds
    }
    maps = {
        name: {unique_id: _others(linked, seeds) for unique_id, linked in manifest[name].items() if unique_id not in seeds}
        for name in ("parent_map", "child_map")
    }
    return {**manifest, "nodes": nodes, **maps}


def _others(unique_ids: Iterable[str], seeds: set[str]) -> list[str]:
    return [unique_id for unique_id in unique_ids if unique_id not in seeds]


class _Unpublished:
    """The models that a run could not publish, and why."""

    def __init__(self, root: Root, failed: set[str]) -> None:
        self.reasons: dict[str, str] = {}
        """A sentence for each model that dbt built but the run did not publish."""
        self.bug: Exception | None = None
        """The first error that only a bug can have caused."""
        self.refused: dict[str, str] = {}
        """The models that can't be published until their data or SQL change, each with its fingerprint."""
        self._root, self._failed = root, failed

    def refuse(self, model: Model, fingerprint: str) -> None:
        """Record the fingerprint of a model that failed its tests or whose SQL is faulty."""
        self.refused[model.name] = fingerprint

    def add(self, model: Model, error: Exception, fingerprint: str) -> None:
        """Record why a model could not be published."""
        self._failed.add(model.name)
        if isinstance(error, PartitionGuardError):
            self.refuse(model, fingerprint)
        reported = store_error(self._root, error) or error
        if not isinstance(reported, _CAUSED_OUTSIDE):
            self.bug = self.bug or error
        message = str(reported) if isinstance(reported, LakehouseError) else f"{type(reported).__name__}: {reported}"
        self.reasons[model.name] = f"gold/{model.name} is not published: {_one_line(unquoted(self._root, message))}"

    def has_failed_input(self, model: Model) -> bool:
        """Whether the model reads one that was not published, and so would not match the published tables."""
        missing = [name for name in model.refs if name in self._failed]
        if missing:
            self._failed.add(model.name)
            read = " and ".join(f"gold/{name}" for name in missing)
            self.reasons[model.name] = (
                f"gold/{model.name} is not published: it reads {read}, which failed. The next pass builds both."
            )
        return bool(missing)


_CAUSED_OUTSIDE = (LakehouseError, CommitFailedError, DeltaError, OSError, duckdb.Error, BaseError)
"""Errors that the data, the store or another writer can cause."""


def _build(
    context: dg.AssetExecutionContext, dbt: QuickStartDbt, root: Root, database: Path, project: GoldProject
) -> tuple[dict[str, "dg.Output[None]"], list[dg.AssetCheckResult], dict[str, str], Callable[[str], str]]:
    """Run dbt. Returns the outputs of the models it built, the test results, why it could not build the other models, and what
    returns the compiled query of a model.
    """
    built: dict[str, dg.Output[None]] = {}
    checks: list[dg.AssetCheckResult] = []
    # The run's database has the seeds. Unit tests are of the SQL, not of the data.
    without = ["build", "--exclude", "resource_type:seed resource_type:unit_test"]
    with _environment({RUN_DATABASE: str(database), RUN_ROOT: root.uri, **project.environment}):
        # dbt's process copies the environment as it starts.
        invocation = dbt.cli(without, context=context, raise_on_error=False, target_path=database.with_name("target"))
    with unquoted_output(root):
        for event in invocation.stream():
            if isinstance(event, dg.Output):
                built[context.asset_key_for_output(event.output_name).path[-1]] = event
            elif isinstance(event, dg.AssetCheckResult):
                checks.append(event)
    faulty = {} if invocation.is_successful() else _faulty(invocation, root, tests_failed=any(map(_blocks, checks)))

    @cache
    def compiled() -> dict[str, str]:
        results = invocation.get_artifact("run_results.json")["results"]
        return {
            r["unique_id"].rpartition(".")[2]: r["compiled_code"] or "" for r in results if r["unique_id"].startswith("model.")
        }

    return built, _with_failing_rows(checks, invocation, root, database), faulty, lambda name: compiled()[name]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _faulty(invocation: DbtCliInvocation, root: Root, *, tests_failed: bool) -> dict[str, str]:
    """Return the models that dbt could not build, with dbt's message for each.

    If dbt names no model and no test failed, its general error is under the empty name.
    """
    results = (
        invocation.get_artifact("run_results.json")["results"] if (invocation.target_path / "run_results.json").exists() else []
    )
    failed = {
        r["unique_id"].rpartition(".")[2]: r for r in results if r["unique_id"].startswith("model.") and r["status"] == "error"
    }
    messages = {
        name: f"gold/{name}: dbt can't build it: {_one_line(unquoted(root, r['message']))}." for name, r in failed.items()
    }
    return messages or ({} if tests_failed else {"": str(invocation.get_error() or "dbt failed without a message.")})


def _with_failing_rows(
    checks: Sequence[dg.AssetCheckResult], invocation: DbtCliInvocation, root: Root, database: Path
) -> list[dg.AssetCheckResult]:
    """Add to each failed check which rows broke it, or dbt's message if its query could not run."""
    if all(c.passed for c in checks):
        return list(checks)
    results = {r["unique_id"]: r for r in invocation.get_artifact("run_results.json")["results"]}
    with new_connection(root) as connection:
        connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")

        def described(check: dg.AssetCheckResult) -> dg.AssetCheckResult:
            test = str(check.metadata["unique_id"].value)
            result = results[test]
            if result["status"] == "error":
                return check._replace(description=f"dbt can't run it: {_one_line(unquoted(root, result['message']))}.")
            rows = failing_rows(connection, invocation.manifest["nodes"][test], result["compiled_code"])
            if rows is None:
                return check
            listed = [list(row.values()) for row in rows.examples]
            shown = {**check.metadata, **table_metadata("failing_rows", list(rows.examples[0]), listed, rows.rows)}
            return check._replace(description=f"{rows.sentence()}.", metadata=shown)

        return [check if check.passed else described(check) for check in checks]


def _without_internals(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of dagster-dbt without what only dbt understands."""
    return {name: value for name, value in metadata.items() if name not in _INTERNAL and not name.startswith("dagster_dbt/")}


_INTERNAL = ("unique_id", "invocation_id", "status")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _blocks(check: dg.AssetCheckResult) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def _log_facts(context: dg.AssetExecutionContext, model: Model, facts: TableFacts) -> None:
    """Log row counts per partition, and facts about the whole table as an observation."""
    key = dg.AssetKey(["gold", model.name])
    rows = {day.isoformat(): count for day, count in facts.rows_by_date.items()}
    for day in context.partition_keys:
        context.add_asset_metadata({"dagster/partition_row_count": rows.get(day, 0)}, asset_key=key, partition_key=day)
    table_metadata = {"dagster/row_count": facts.rows, "bytes": facts.bytes, "files": facts.files}
    context.log_event(dg.AssetObservation(key, metadata=table_metadata))


def _show_as_built(
    context: dg.AssetExecutionContext, names: Iterable[str], partitions: dg.PartitionsDefinition[str], start: date
) -> None:
    """Show all dates of models as built in the UI: a model is built as a whole, whatever dates its run names."""
    days = [start + timedelta(days=n) for n in range((datetime.now(UTC).date() - start).days + 1)]
    for name in names:
        show_as_built(context.instance, dg.AssetKey(["gold", name]), partitions, days)


def _note(
    noted: TableRun, records: Sequence[PartitionRecord], followed: Collection[date] | None, facts: TableFacts, *, changed: bool
) -> None:
    """Note what a run did to a model. `followed` are the dates that it built again, if not all."""
    dates = {record.date: record for record in records if followed is None or record.date in followed}
    noted.status = BUILT if changed else UNCHANGED
    note_accounts(noted, {day: account_metadata(record) for day, record in dates.items()})
    note_bytes(noted, facts, dates)


def _metadata(root: Root, model: Model, facts: TableFacts) -> dict[str, Any]:
    uri, name = root.table("gold", model.name), f"gold.{model.name}"
    return {"dagster/uri": uri, "dagster/table_name": name, "delta_version": facts.version}


def _failures(refused: set[str], checks: Sequence[dg.AssetCheckResult]) -> list[str]:
    """Return a sentence for each failed test, and one on which models are therefore not published."""
    messages = [
        f"gold/{c.asset_key.path[-1]}: test {c.check_name} fails: {c.description or 'dbt names no rows.'}"
        for c in checks
        if _blocks(c) and c.asset_key is not None
    ]
    if refused:
        messages.append(
            f"Not published: {', '.join(f'gold/{name}' for name in sorted(refused))} and the models that read them. Their old rows "
            "stay live until the data is fixed."
        )
    return messages
