"""The private names of other packages that this one uses: whether they still exist, and what is lost without them."""

import pkgutil
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Hook:
    """Private names of another package, as `module:attribute`, and how the fallback without them behaves."""

    package: str
    names: tuple[str, ...]
    without: str

    @cached_property
    def missing(self) -> list[str]:
        """The names that do not exist in the installed package."""
        return [name for name in self.names if not _exists(name)]

    @property
    def is_usable(self) -> bool:
        """Whether all names exist."""
        return not self.missing


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


EVENT_STORAGE = Hook(
    "dagster",
    (
        *(
            f"dagster._core.storage.event_log.sqlite.sqlite_event_log:SqliteEventLogStorage.{name}"
            for name in (
                "_connect",
                "_event_to_row",
                "_has_asset_key_col_on_connection",
                "_initdb",
                "_store_asset_check_evaluation_planned",
                "_store_asset_event",
                "_store_asset_event_tags",
                "conn_string_for_shard",
                "has_table",
                "path_for_shard",
            )
        ),
        "dagster._core.definitions.asset_checks.asset_check_evaluation:AssetCheckEvaluationPlanned",
        "dagster._core.events:ASSET_CHECK_EVENTS",
        "dagster._core.events:ASSET_EVENTS",
        "dagster._core.events:EVENT_TYPE_TO_PIPELINE_RUN_STATUS",
        "dagster._core.storage.asset_check_execution_record:AssetCheckExecutionRecordStatus",
        "dagster._core.storage.event_log.schema:AssetCheckExecutionsTable",
        "dagster._core.storage.event_log.schema:SqlEventLogStorageMetadata",
        "dagster._core.storage.event_log.schema:SqlEventLogStorageTable",
        "dagster._core.storage.event_log.sqlite.sqlite_event_log:INDEX_SHARD_NAME",
        "dagster._serdes:ConfigurableClassData",
    ),
    without="a new `dagster.yaml` names no event storage, so Dagster uses its own: an event takes 12 ms.",
)

PARTITION_STATUS = Hook(
    "dagster",
    (
        "dagster._core.storage.partition_status_cache:get_and_update_asset_status_cache_value",
        "dagster._core.storage.partition_status_cache:AssetStatusCacheValue.deserialize_materialized_partition_subsets",
        "dagster:DagsterInstance.update_asset_cached_status_data",
    ),
    without="dates without files appear as missing in the UI, and its dialogs warn about them.",
)

IMPLICIT_JOB = Hook(
    "dagster",
    ("dagster._core.definitions.assets.job.asset_job:IMPLICIT_ASSET_JOB_NAME",),
    without="the name is assumed to be that of Dagster 1.13.27, `__ASSET_JOB`.",
)

LOAD_ERROR = Hook(
    "dagster",
    ("dagster._core.errors:DagsterUserCodeProcessError", "dagster_shared.error:SerializableErrorInfo"),
    without="a wrong setting is shown with a traceback through Dagster's code.",
)

JOB_PARTS = Hook(
    "dagster",
    ("dagster:JobDefinition.as_ephemeral_job",),
    without="each run of `sync --follow` makes its part of the graph anew, which takes some 0.4 s of CPU.",
)

STEP_CONTEXT = Hook(
    "dagster",
    (
        "dagster:OutputContext.step_context",
        "dagster._core.execution.context.system:StepExecutionContext.add_asset_metadata",
        "dagster._core.definitions.assets.job.asset_layer:AssetLayer.get",
    ),
    without="a table has no description, and a range run shows the metadata of its first date only.",
)

RUN_LAUNCHER = Hook(
    "dagster",
    (
        "dagster._core.errors:DagsterUserCodeUnreachableError",
        "dagster._core.launcher:CheckRunHealthResult",
        "dagster._core.launcher:WorkerStatus",
        "dagster._core.storage.tags:GRPC_INFO_TAG",
        "dagster._grpc.client:DagsterGrpcClient.can_cancel_execution",
        "dagster._grpc.types:CanCancelExecutionRequest",
        "dagster._grpc.types:CanCancelExecutionResult",
        "dagster._serdes:deserialize_value",
    ),
    without="a run whose container was killed ends only at its maximum runtime.",
)

DAGSTER_DBT = Hook(
    "dagster-dbt",
    ("dagster_dbt:DbtCliResource._cli_version", "dagster_dbt:DbtCliResource._initialize_dbt_core_adapter"),
    without="dagster-dbt asks dbt for its version and loads the project twice: a gold run starts 4 s later.",
)

SPARK_CLIENT = Hook(
    "pyspark",
    ("pyspark.sql.connect.client:SparkConnectClient._handle_error",),
    without="a step that loses the server fails with PySpark's own error and is not run again automatically.",
)

SPARK_PLAN = Hook(
    "pyspark",
    ("pyspark.sql.connect.plan:LogicalPlan.to_proto",),
    without="a silver date to which files were added is built whole, and the UI shows no column lineage of silver.",
)

PROCESS_END = Hook(
    "Python", ("atexit:_run_exitfuncs",), without="a command ends as any Python program does, up to a second later."
)

ALL_HOOKS = (
    EVENT_STORAGE,
    PARTITION_STATUS,
    IMPLICIT_JOB,
    LOAD_ERROR,
    JOB_PARTS,
    STEP_CONTEXT,
    RUN_LAUNCHER,
    DAGSTER_DBT,
    SPARK_CLIENT,
    SPARK_PLAN,
    PROCESS_END,
)
