"""The Dagster instance that the command line and the UI share, below the root where that is a folder."""

import os
from pathlib import Path

import dagster as dg

from lakehouse_assets.locks import exclusively

_CONFIG = """\
# Made by `lakehouse`; yours to change. See https://docs.dagster.io/deployment/oss/dagster-yaml
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
freshness:
  enabled: true
event_log_storage:
  module: lakehouse_assets.automation.event_storage
  class: QuickSqliteEventLogStorage
  config:
    base_dir: {home}/history/runs
"""

PROCESS_TAG = "lakehouse/process"


def prepare_home(home: Path) -> None:
    """Make the folder of an instance, and its `dagster.yaml` where there is none."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_CONFIG.format(home=home))


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance with its home in the given folder, made where there is none."""
    prepare_home(home)
    os.environ["DAGSTER_HOME"] = str(home)
    # Two processes that make the databases of one instance at the same time would trip over each other.
    with exclusively(home / "lock"):
        return dg.DagsterInstance.from_config(str(home))


def close_killed_runs(instance: dg.DagsterInstance) -> None:
    """Report runs of command lines that were killed as failed: nobody else would ever end them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
        if host == os.uname().nodename and not _is_alive(int(pid)):
            instance.report_run_failed(run, "The process that ran it was killed.")


def process_tag() -> str:
    """Tells this process from all others of this machine, for as long as it lives."""
    return f"{os.uname().nodename}:{os.getpid()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's process now has that number; that run is closed once it ends
    return True
