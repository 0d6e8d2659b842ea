"""The Dagster instance that the command line and the UI share, below the root where that is a folder."""

import json
import os
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock

from lakehouse_assets.hooks.names import EVENT_STORAGE
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings

_CONFIG = """\
# Made by `lakehouse`; yours to change. See https://docs.dagster.io/deployment/oss/dagster-yaml
telemetry:
  enabled: false
nux:
  enabled: false
# A run whose process has gone is noticed, reported as failed, and started once more. One of which a step failed is not: the sensor
# asks for it again after a pause where that can help, and never where only other data can.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 30
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
# One writer at a time to each table: every table's steps have a pool.
concurrency:
  pools:
    granularity: op
    default_limit: 1
freshness:
  enabled: true
# What the sensor looked at each time; runs go by `lakehouse maintain`, after LAKEHOUSE_KEEP_RUNS_DAYS.
retention:
  sensor:
    purge_after_days:
      skipped: 7
      started: 30
      success: 30
      failure: 30
"""

_EVENT_STORAGE = """\
event_log_storage:
  module: lakehouse_assets.hooks.event_storage
  class: QuickSqliteEventLogStorage
  config:
    base_dir: {home}/history/runs
"""

_FORMER_EVENT_STORAGE = "module: lakehouse_assets.automation.event_storage\n"
"""How `dagster.yaml` files of the first version name it."""

_S3_LOGS = """\
compute_logs:
  module: dagster_aws.s3.compute_log_manager
  class: S3ComputeLogManager
  config:
    bucket: {bucket}
    prefix: {prefix}
    region: {region}
    skip_empty_files: true
"""

PROCESS_TAG = "lakehouse/process"


def prepare_home(home: Path, root: Root) -> None:
    """Make the folder of an instance, and its `dagster.yaml` where there is none. With a root on S3 the logs of steps go there too."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if config.exists():
        _bring_up_to_date(config)
        return
    text = _CONFIG
    if EVENT_STORAGE.is_usable:
        text += _EVENT_STORAGE.format(home=json.dumps(str(home))[1:-1])
    if root.bucket:
        prefix = "/".join(filter(None, [root.prefix, "dagster", "compute-logs"]))
        region = json.dumps(s3_settings().region)
        text += _S3_LOGS.format(bucket=json.dumps(root.bucket), prefix=json.dumps(prefix), region=region)
        if endpoint := s3_settings().endpoint:
            text += f"    endpoint_url: {endpoint}\n"
    # For the user's eyes alone: people put passwords of their own into it.
    with os.fdopen(os.open(config, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _bring_up_to_date(config: Path) -> None:
    """Let a file of the first version name the event storage where it is now; all else in it is the user's."""
    text = config.read_text()
    if _FORMER_EVENT_STORAGE in text:
        config.write_text(text.replace(_FORMER_EVENT_STORAGE, "module: lakehouse_assets.hooks.event_storage\n"))


def open_instance(home: Path, root: Root) -> dg.DagsterInstance:
    """The instance with its home in the given folder, made where there is none."""
    prepare_home(home, root)
    # Two processes that make the databases of one instance at the same time would trip over each other.
    with FileLock(home / "lock"):
        return dg.DagsterInstance.from_config(str(home))


def close_killed_runs(instance: dg.DagsterInstance) -> None:
    """Report runs of command lines that were killed as failed: nobody else would ever end them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
        # A run that the UI or the daemon started again inherits the tags of the first, and runs in another process.
        if host == os.uname().nodename and run.parent_run_id is None and not psutil.pid_exists(int(pid)):
            instance.report_run_failed(run, "The process that ran it was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def process_tag() -> str:
    """Tells this process from all others of this machine, for as long as it lives."""
    return f"{os.uname().nodename}:{os.getpid()}"
