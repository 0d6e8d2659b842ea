"""A run launcher that notices when a code server has ended, and with it the runs that were its processes.

Dagster's run monitoring looks after workers only where the launcher can ask for them, and the one that starts runs in code servers
can't. So a run whose container was killed would stay "started" until its longest time is over, and the sensor waits for runs under
way. The deployment's `dagster.yaml` names this class.
"""

import json
from typing import TYPE_CHECKING

import dagster as dg

from lakehouse_assets.hooks.names import RUN_LAUNCHER

if TYPE_CHECKING:
    from dagster._core.launcher import CheckRunHealthResult
    from dagster._serdes import ConfigurableClassData

_SECONDS = 20


class AttentiveRunLauncher(dg.DefaultRunLauncher):
    """Asks the code server of a run whether it still has it."""

    def __init__(self, inst_data: "ConfigurableClassData | None" = None) -> None:
        super().__init__(inst_data)
        self._missed: set[str] = set()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It does, where the names for it are there."""
        return RUN_LAUNCHER.is_usable

    def check_run_worker_health(self, run: dg.DagsterRun) -> "CheckRunHealthResult":
        """Lost is a run that a code server which answers does not know, twice in a row.

        At the first time the server may have begun to answer just now, before the daemon has loaded its definitions again; and
        without them the daemon can't retry a run, nor would it try to once more.
        """
        from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
        from dagster._core.storage.tags import GRPC_INFO_TAG

        if GRPC_INFO_TAG not in run.tags or _is_known(run):
            self._missed.discard(run.run_id)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if run.run_id not in self._missed:
            self._missed.add(run.run_id)
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, "its code server does not know it; asked again before it is given up"
            )
        self._missed.discard(run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server in which it ran has ended")


def _is_known(run: dg.DagsterRun) -> bool:
    """Whether the code server has the run; so long as it does not answer, nobody can tell, and it may."""
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
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_SECONDS)
    except DagsterUserCodeUnreachableError:
        return True
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel
