"""Gold assets: the dbt models of the project, one Dagster asset each, their tests as asset checks."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from obstore.exceptions import BaseError

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.books.refused import RefusedPartitions
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.delta.tables import TableFacts, table_facts
from lakehouse_assets.errors import LakehouseError, PartitionGuardError
from lakehouse_assets.gold.dbt import unquoted_output
from lakehouse_assets.gold.failures import failing_rows
from lakehouse_assets.gold.models import Model, model_fingerprint, read_models, table_states
from lakehouse_assets.gold.project import RUN_DATABASE, RUN_ROOT, GoldProject
from lakehouse_assets.gold.publish import fill_database, model_records, open_tables, publish_model
from lakehouse_assets.hooks.dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtProject,
    QuickStartDbt,
    dbt_assets,
)
from lakehouse_assets.materialization.presentation import docs_metadata
from lakehouse_assets.store.errors import Unquoted, store_error, unquoted
from lakehouse_assets.store.root import Root


class GoldTranslator(DagsterDbtTranslator):
    """Gives models the keys, groups and links that all tables of the lakehouse have."""

    def __init__(self, docs_url: str | None) -> None:
        # Another project lists silver tables that the lakehouse's own lists, too.
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
        self._docs_url = docs_url

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The spec of a model (`gold/<name>`) or of a silver source (`silver/<name>`)."""
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
        """The key, for places in dagster-dbt that ask for it alone."""
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
    """All models. A run builds and tests the chosen ones in a database file of its own, then publishes what passed."""
    models = read_models(manifest)

    @dbt_assets(
        manifest=manifest,
        project=DbtProject(project_dir=project.folder),
        name="gold",
        dagster_dbt_translator=GoldTranslator(docs_url),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="gold",
    )
    @Unquoted(root)
    def _gold(context: dg.AssetExecutionContext, dbt: QuickStartDbt) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        selected = {key.path[-1] for key in context.selected_asset_keys}
        read, shared = open_tables(root, models), project.shared_digest
        states = table_states(read.records)
        with tempfile.TemporaryDirectory(prefix="lakehouse-gold-") as folder:
            database = Path(folder, "run.duckdb")
            fill_database(database, root, read, selected)
            built, checks, faulty = _build(context, dbt, root, database)
            refused = {c.asset_key.path[-1] for c in checks if _blocks(c) and c.asset_key is not None}
            unpublished = _Unpublished(root, refused | (selected - built.keys()))
            published: dict[str, DeltaTable] = {}
            records: list[PartitionRecord] = []
            with new_connection(root) as connection:
                connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")
                for model in (m for m in models if m.name in selected):
                    # What it has read: what stood before the run, and of the models before it what this run has just published.
                    fingerprint = model_fingerprint(model, states, shared)
                    if model.name in refused or model.name in faulty:
                        unpublished.refuse(model, fingerprint)
                    if model.name not in built or model.name in refused or unpublished.waits(model):
                        continue
                    try:
                        commit, table = publish_model(connection, root, model, fingerprint=fingerprint, run_id=context.run_id)
                    except Exception as error:  # noqa: BLE001 - the other models are published first; then it is raised
                        unpublished.add(model, error, fingerprint)
                        continue
                    mine = model_records(model, table, read.records, fingerprint=fingerprint, run_id=context.run_id)
                    published[model.name] = table
                    records += mine
                    states |= table_states({("gold", model.name, r.date): r for r in mine})
                    facts = table_facts(table)
                    _tell_facts(context, model, facts)
                    output = built[model.name]
                    metadata = {**output.metadata, **_metadata(root, model, facts), "committed": commit.changed}
                    yield dg.Output(None, output_name=output.output_name, metadata=metadata)
            # What is not recorded, because the step is killed before, is built again by the next pass, and found the same.
            if published:
                record_partitions(root, "gold", published, lambda known: records, context.run_id)
        yield from checks
        for name, fingerprint in unpublished.refused.items():
            # A model is built as a whole: any date stands for it.
            first = date.fromisoformat(min(context.partition_keys))
            RefusedPartitions(root).record("gold", name, {first: fingerprint}, "by its tests or its SQL", context.run_id)
        for name, reason in unpublished.reasons.items():
            context.log_event(dg.AssetObservation(dg.AssetKey(["gold", name]), metadata={"not_published": reason}))
        if unpublished.bug is not None:
            raise unpublished.bug
        if refused or faulty or unpublished.reasons:
            raise dg.Failure("\n".join([*_failures(refused, checks), *faulty.values(), *unpublished.reasons.values()]))

    return _gold


class _Unpublished:
    """The models of a run that could not be published, and why."""

    def __init__(self, root: Root, failed: set[str]) -> None:
        self.reasons: dict[str, str] = {}
        """A sentence for each model that dbt has built and that is not published all the same."""
        self.bug: Exception | None = None
        """The first error that nobody outside of the program can have caused."""
        self.refused: dict[str, str] = {}
        """The models that can't be published as long as data and SQL are what they are, each with its fingerprint."""
        self._root, self._failed = root, failed

    def refuse(self, model: Model, fingerprint: str) -> None:
        """Keep in mind what a model that its tests or its SQL refused would have been built from."""
        self.refused[model.name] = fingerprint

    def add(self, model: Model, error: Exception, fingerprint: str) -> None:
        """Keep an error of one model to itself."""
        self._failed.add(model.name)
        if isinstance(error, PartitionGuardError):
            self.refuse(model, fingerprint)
        told = store_error(self._root, error) or error
        if not isinstance(told, _CAUSED_OUTSIDE):
            self.bug = self.bug or error
        said = str(told) if isinstance(told, LakehouseError) else f"{type(told).__name__}: {told}"
        self.reasons[model.name] = f"gold/{model.name} is not published: {_one_line(unquoted(self._root, said))}"

    def waits(self, model: Model) -> bool:
        """Whether a model reads one that is not published: then it would not go with what stands."""
        missing = [name for name in model.refs if name in self._failed]
        if missing:
            self._failed.add(model.name)
            read = " and ".join(f"gold/{name}" for name in missing)
            self.reasons[model.name] = (
                f"gold/{model.name} is not published: it reads {read}, which failed. The next pass builds both."
            )
        return bool(missing)


_CAUSED_OUTSIDE = (LakehouseError, CommitFailedError, DeltaError, OSError, duckdb.Error, BaseError)
"""What the data, the store or another writer can cause."""


def _build(
    context: dg.AssetExecutionContext, dbt: QuickStartDbt, root: Root, database: Path
) -> tuple[dict[str, "dg.Output[None]"], list[dg.AssetCheckResult], dict[str, str]]:
    """Run dbt: the outputs of the models that were built, the results of the tests, and why dbt could not build others."""
    os.environ |= {RUN_DATABASE: str(database), RUN_ROOT: root.uri}
    built: dict[str, dg.Output[None]] = {}
    checks: list[dg.AssetCheckResult] = []
    invocation = dbt.cli(["build"], context=context, raise_on_error=False, target_path=database.with_name("target"))
    with unquoted_output(root):
        for event in invocation.stream():
            if isinstance(event, dg.Output):
                built[context.asset_key_for_output(event.output_name).path[-1]] = event
            elif isinstance(event, dg.AssetCheckResult):
                checks.append(event)
    faulty = {} if invocation.is_successful() else _faulty(invocation, root, tests_failed=any(map(_blocks, checks)))
    return built, _with_failing_rows(checks, invocation, root, database), faulty


def _faulty(invocation: DbtCliInvocation, root: Root, *, tests_failed: bool) -> dict[str, str]:
    """The models that dbt could not build, with its words for each; under no name what it says of all, where no test failed."""
    results = (
        invocation.get_artifact("run_results.json")["results"] if (invocation.target_path / "run_results.json").exists() else []
    )
    failed = {
        r["unique_id"].rpartition(".")[2]: r for r in results if r["unique_id"].startswith("model.") and r["status"] == "error"
    }
    told = {name: f"gold/{name}: dbt can't build it: {_one_line(unquoted(root, r['message']))}." for name, r in failed.items()}
    return told or ({} if tests_failed else {"": str(invocation.get_error() or "dbt failed without a word.")})


def _with_failing_rows(
    checks: Sequence[dg.AssetCheckResult], invocation: DbtCliInvocation, root: Root, database: Path
) -> list[dg.AssetCheckResult]:
    """The checks; those that failed say which rows they are about, or what dbt says where their query could not run."""
    if all(c.passed for c in checks):
        return list(checks)
    results = {r["unique_id"]: r for r in invocation.get_artifact("run_results.json")["results"]}
    with new_connection(root) as connection:
        connection.execute(f"ATTACH '{database}' AS run (READ_ONLY); USE run")

        def told(check: dg.AssetCheckResult) -> dg.AssetCheckResult:
            test = str(check.metadata["unique_id"].value)
            result = results[test]
            if result["status"] == "error":
                return check._replace(description=f"dbt can't run it: {_one_line(unquoted(root, result['message']))}.")
            rows = failing_rows(connection, invocation.manifest["nodes"][test], result["compiled_code"])
            if rows is None:
                return check
            shown = {**check.metadata, "failing_rows": dg.MetadataValue.md(rows.table())}
            return check._replace(description=f"{rows.sentence()}.", metadata=shown)

        return [check if check.passed else told(check) for check in checks]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _blocks(check: dg.AssetCheckResult) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def _tell_facts(context: dg.AssetExecutionContext, model: Model, facts: TableFacts) -> None:
    """Row counts by partition, though the run is one; what is true of the table as a whole as an observation."""
    key = dg.AssetKey(["gold", model.name])
    rows = {day.isoformat(): count for day, count in facts.rows_by_date.items()}
    for day in context.partition_keys:
        context.add_asset_metadata({"dagster/partition_row_count": rows.get(day, 0)}, asset_key=key, partition_key=day)
    told = {"dagster/row_count": facts.rows, "bytes": facts.bytes, "files": facts.files}
    context.log_event(dg.AssetObservation(key, metadata=told))


def _metadata(root: Root, model: Model, facts: TableFacts) -> dict[str, Any]:
    uri, name = root.table("gold", model.name), f"gold.{model.name}"
    return {"dagster/uri": uri, "dagster/table_name": name, "delta_version": facts.version}


def _failures(refused: set[str], checks: Sequence[dg.AssetCheckResult]) -> list[str]:
    """The tests that failed, a sentence each, and what they keep back."""
    told = [
        f"gold/{c.asset_key.path[-1]}: test {c.check_name} fails: {c.description or 'dbt names no rows.'}"
        for c in checks
        if _blocks(c) and c.asset_key is not None
    ]
    if refused:
        told.append(
            f"Not published: {', '.join(f'gold/{name}' for name in sorted(refused))} and what reads them; their old rows stand until "
            "the data is mended."
        )
    return told
