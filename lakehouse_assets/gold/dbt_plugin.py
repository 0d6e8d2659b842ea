"""A dbt-duckdb plugin: attaches the run's database file and lets its views read the root.

The environment names the file. The profile can't, because dbt parses the whole project again if the profile has changed.
"""

import os
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.gold.project import RUN_DATABASE, RUN_ROOT
from lakehouse_assets.store.root import Root


class Plugin(BasePlugin):
    """Runs in dbt's process for each new connection."""

    def configure_connection(self, conn: Any) -> None:
        """Attach the file as database `run`, or an in-memory database if dbt only parses or compiles."""
        path = os.environ.get(RUN_DATABASE, ":memory:").replace("'", "''")
        if RUN_ROOT in os.environ:
            enable_s3(conn, Root(os.environ[RUN_ROOT]))
        conn.execute(f"ATTACH IF NOT EXISTS '{path}' AS run")
