"""The Dagster instance that the command line and the UI share; it is below the root if that is a folder."""

import json
import os
import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock

from lakehouse_assets.files import whole_folder
from lakehouse_assets.hooks.names import EVENT_STORAGE
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The statuses of a run that has not ended."""

_CONFIG = """\
# Created by `lakehouse`; you may change it. See https://docs.dagster.io/deployment/oss/dagster-yaml
telemetry:
  enabled: false
nux:
  enabled: false
# A run whose process has died is reported as failed and started once more. A run with a failed step is not: the sensor requests
# it again after a pause if that may help, and not if only other data can.
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
# One writer at a time per table: the steps of each table share a pool.
concurrency:
  pools:
    granularity: op
    default_limit: 1
freshness:
  enabled: true
# What runs print. Otherwise each of Dagster's own events is a line, which the UI shows anyway.
python_logs:
  python_log_level: INFO
# The history of sensor ticks. `lakehouse maintain` deletes runs, after LAKEHOUSE_KEEP_RUNS_DAYS.
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
"""How `dagster.yaml` files of the first release name it."""

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

_DATABASES = ("history", "schedules")
"""The folders of an instance with its SQLite files: runs and events, and ticks."""


def prepare_home(home: Path, root: Root) -> None:
    """Create the folder of an instance, and its `dagster.yaml` if missing. If the root is on S3, step logs go there too."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if config.exists():
        _bring_up_to_date(config)
        return
    text = _CONFIG
    if EVENT_STORAGE.is_usable:
        text += _event_storage(home)
    if root.bucket:
        prefix = "/".join(filter(None, [root.prefix, "dagster", "compute-logs"]))
        store = s3_settings()
        region = json.dumps(store.region)
        text += _S3_LOGS.format(bucket=json.dumps(root.bucket), prefix=json.dumps(prefix), region=region)
        if store.endpoint:
            text += f"    endpoint_url: {store.endpoint}\n"
    # Readable by this user only: people add passwords to it.
    with os.fdopen(os.open(config, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _event_storage(home: Path) -> str:
    """The part of `dagster.yaml` that names the event storage of a home."""
    return _EVENT_STORAGE.format(home=json.dumps(str(home))[1:-1])


def _bring_up_to_date(config: Path) -> None:
    """In a file of the first release, correct the module of the event storage. All else in it belongs to the user."""
    text = config.read_text()
    if _FORMER_EVENT_STORAGE in text:
        config.write_text(text.replace(_FORMER_EVENT_STORAGE, "module: lakehouse_assets.hooks.event_storage\n"))


def open_instance(home: Path, root: Root, cache: Path | None = None) -> dg.DagsterInstance:
    """Open the instance whose home is the given folder; create it if missing.

    With `cache`, the folder of `LAKEHOUSE_CACHE`, a new instance gets copies of empty databases that are kept there: Dagster would
    take five times as long to create them. It does so where the cache can't be used.
    """
    prepare_home(home, root)
    # Two processes that create the databases of one instance at the same time would collide.
    with FileLock(home / "lock"):
        if cache is not None and _keeps_databases(home) and not (home / _DATABASES[0]).exists():
            with suppress(OSError):
                _copy_databases(_empty_databases(cache), home)
        return dg.DagsterInstance.from_config(str(home))


def _keeps_databases(home: Path) -> bool:
    """Whether the instance has the storage of a new home. A user may have configured another."""
    return EVENT_STORAGE.is_usable and _event_storage(home) in (home / "dagster.yaml").read_text()


def _empty_databases(cache: Path) -> Path:
    """Return a folder with the databases of an instance that has never had a run. Creates them once for a version of Dagster."""
    folder = cache / f"dagster-{version('dagster')}"
    if not folder.exists():
        with whole_folder(folder) as made:
            open_instance(made, Root.parse(str(made))).dispose()
    return folder


def _copy_databases(source: Path, home: Path) -> None:
    """Copy the folders of databases into a home, each atomically: the UI may be creating its own at this moment."""
    for name in reversed(_DATABASES):
        with whole_folder(home / name) as copied:
            shutil.copytree(source / name, copied)


def close_killed_runs(instance: dg.DagsterInstance) -> None:
    """Report runs as failed if the command line that ran them was killed: nothing else would end them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
        # A run that the UI or the daemon retried inherits the tags of the first, but has another process.
        if host == os.uname().nodename and run.parent_run_id is None and not psutil.pid_exists(int(pid)):
            instance.report_run_failed(run, "The process that ran it was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def process_tag() -> str:
    """Return a tag that identifies this process among all that are running: host name and process id."""
    return f"{os.uname().nodename}:{os.getpid()}"
