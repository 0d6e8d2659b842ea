"""A run launcher that notices when a code server has ended, and with it the runs that were its child processes.

Dagster's run monitoring checks workers only if the launcher supports it, and the launcher that starts runs in code servers does
not. So a run whose container was killed would stay "started" until its maximum runtime, and the sensor would wait for it. The
deployment's `dagster.yaml` names this class.
"""

import json
from typing import TYPE_CHECKING

import dagster as dg

from lakehouse_assets.hooks.names import RUN_LAUNCHER

if TYPE_CHECKING:
    from dagster._core.launcher import CheckRunHealthResult
    from dagster._serdes import ConfigurableClassData

_TIMEOUT_SECONDS = 20


class AttentiveRunLauncher(dg.DefaultRunLauncher):
    """Checks a run's health by asking its code server whether it still knows the run."""

    def __init__(self, inst_data: "ConfigurableClassData | None" = None) -> None:
        super().__init__(inst_data)
        self._missed: set[str] = set()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True if Dagster's private names for the check exist."""
        return RUN_LAUNCHER.is_usable

    def check_run_worker_health(self, run: dg.DagsterRun) -> "CheckRunHealthResult":
        """Report a run as lost if its code server answers twice in a row that it does not know the run.

        Once is not enough: the server may have just restarted, before the daemon has reloaded its definitions. Without them the
        daemon can't retry the run, and it would not try a second time.
        """
        from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
        from dagster._core.storage.tags import GRPC_INFO_TAG

        if GRPC_INFO_TAG not in run.tags or _is_known(run):
            self._missed.discard(run.run_id)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if run.run_id not in self._missed:
            self._missed.add(run.run_id)
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, "its code server does not know it; it is checked once more before it counts as lost"
            )
        self._missed.discard(run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server in which it ran has ended")


def _is_known(run: dg.DagsterRun) -> bool:
    """Whether the code server knows the run. Assumed true while the server does not answer."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._core.storage.tags import GRPC_INFO_TAG
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
    from dagster._serdes import deserialize_value

    address = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(
        host=address.get("host"), port=address.get("port"), socket=address.get("socket"), use_ssl=address.get("use_ssl", False)
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_TIMEOUT_SECONDS)
    except DagsterUserCodeUnreachableError:
        return True
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
