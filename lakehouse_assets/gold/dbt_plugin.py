"""A dbt-duckdb plugin: attaches the run's database file, lets its views read the root, and knows public holidays.

The environment names the file. The profile can't, because dbt parses the whole project again if the profile has changed.
"""

import os
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.gold.holidays import DEFAULT_COUNTRIES, add_holidays
from lakehouse_assets.gold.project import RUN_CACHE, RUN_COUNTRIES, RUN_DATABASE, RUN_ROOT
from lakehouse_assets.store.root import Root


class WithHolidays(BasePlugin):
    """What every target needs, whatever it reads: runs in dbt's process for each new thread."""

    def configure_cursor(self, cursor: Any) -> None:
        """Make `public_holidays()` known. Without a run's environment, the settings in the environment count."""
        countries = os.environ.get(RUN_COUNTRIES) or os.environ.get("LAKEHOUSE_HOLIDAY_COUNTRY") or DEFAULT_COUNTRIES
        folder = os.environ.get(RUN_CACHE) or os.environ.get("LAKEHOUSE_CACHE") or "~/.cache/lakehouse"
        add_holidays(cursor, countries, Path(folder).expanduser())


class Plugin(WithHolidays):
    """Runs in dbt's process for each new connection."""

    def configure_connection(self, conn: Any) -> None:
        """Attach the file as database `run`, or an in-memory database if dbt only parses or compiles."""
        path = os.environ.get(RUN_DATABASE, ":memory:").replace("'", "''")
        if RUN_ROOT in os.environ:
            enable_s3(conn, Root(os.environ[RUN_ROOT]))
        conn.execute(f"ATTACH IF NOT EXISTS '{path}' AS run")
