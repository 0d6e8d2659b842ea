"""A plugin of dbt-duckdb: attaches the database file of the run, which the environment names, and lets its views read the root.

The profile can't name it, because dbt parses the whole project anew whenever the profile differs from the last run's.
"""

import os
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from lakehouse_assets.storage.duck import let_read
from lakehouse_assets.storage.root import Root

RUN_DATABASE = "LAKEHOUSE_GOLD_DATABASE"
"""The environment variable that holds the path of the file."""

RUN_ROOT = "LAKEHOUSE_GOLD_ROOT"
"""The environment variable that holds the URI of the root."""


class Plugin(BasePlugin):
    """Runs in dbt's process, once a connection is made."""

    def configure_connection(self, conn: Any) -> None:
        """Attach the file as the database `run`; one in memory where dbt only parses or compiles."""
        path = os.environ.get(RUN_DATABASE, ":memory:").replace("'", "''")
        if RUN_ROOT in os.environ:
            let_read(conn, Root(os.environ[RUN_ROOT]))
        conn.execute(f"ATTACH IF NOT EXISTS '{path}' AS run")
