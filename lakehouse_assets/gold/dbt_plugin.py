"""A plugin of dbt-duckdb: attaches the database file of the run, which the environment names, and lets its views read the root.

The profile can't name it, because dbt parses the whole project anew whenever the profile differs from the last run's.
"""

import os
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.gold.project import RUN_DATABASE, RUN_ROOT
from lakehouse_assets.store.root import Root


class Plugin(BasePlugin):
    """Runs in dbt's process, once a connection is made."""

    def configure_connection(self, conn: Any) -> None:
        """Attach the file as the database `run`; one in memory where dbt only parses or compiles."""
        path = os.environ.get(RUN_DATABASE, ":memory:").replace("'", "''")
        if RUN_ROOT in os.environ:
            enable_s3(conn, Root(os.environ[RUN_ROOT]))
        conn.execute(f"ATTACH IF NOT EXISTS '{path}' AS run")
