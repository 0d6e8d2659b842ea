"""A dbt-duckdb plugin for dbt by hand, `dbt build --target lakehouse`: silver as it is now, in a database file of its own.

The lakehouse is only read. Settings are those of the environment, and of `.env` in the folder above the dbt project.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from dbt_common.exceptions import DbtRuntimeError

from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.delta.tables import open_table, sql_text
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.dbt_plugin import WithHolidays
from lakehouse_assets.gold.project import RUN_COUNTRIES, RUN_START, RUN_TIMEZONE, silver_layout
from lakehouse_assets.gold.publish import TablesRead, fill_database
from lakehouse_assets.settings import Settings, load_settings
from lakehouse_assets.systems import catalog


class Plugin(WithHolidays):
    """Runs in dbt's process for each new connection."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the path of the database file from the profile; it is relative to the dbt project."""
        self._database = Path(plugin_config["database"]).absolute()

    def configure_connection(self, conn: Any) -> None:
        """Bring silver up to date in the file, and attach it as database `run`. What dbt built there stays."""
        before = dict(os.environ)
        try:
            with contextlib.chdir(Path.cwd().parent):
                settings = load_settings()
                _refuse_what_dbt_does_not_see(settings, before)
                fill_by_hand(settings, self._database)
        except LakehouseError as error:
            raise DbtRuntimeError(str(error)) from None
        enable_s3(conn, settings.root)
        conn.execute(f"ATTACH IF NOT EXISTS {sql_text(str(self._database))} AS run")


def fill_by_hand(settings: Settings, database: Path) -> None:
    """Create the database, or replace its silver: views of the tables at their newest version.

    Raises:
        LakehouseError: the lakehouse has no silver table, or its settings or contracts have faults.
    """
    layout = silver_layout(catalog(settings.system_packages))
    opened = {(layer, name): open_table(settings.root.table(layer, name)) for layer, name in layout}
    read = TablesRead({key: table for key, table in opened.items() if table is not None}, {})
    if not read.opened:
        raise LakehouseError(
            f"There are no silver tables below {settings.root.uri}. Set LAKEHOUSE_ROOT to a lakehouse that has some."
        )
    database.parent.mkdir(parents=True, exist_ok=True)
    fill_database(database, settings.root, read, (), layout)


def _refuse_what_dbt_does_not_see(settings: Settings, environment: dict[str, str]) -> None:
    """Check that the settings in the SQL are those of the lakehouse: dbt has read the environment already, and never reads `.env`.

    Raises:
        LakehouseError: they are not.
    """
    for used, name, value in (
        (RUN_TIMEZONE, "LAKEHOUSE_TIMEZONE", settings.lakehouse_timezone),
        (RUN_COUNTRIES, "LAKEHOUSE_HOLIDAY_COUNTRY", settings.lakehouse_holiday_country),
        (RUN_START, "LAKEHOUSE_START_DATE", settings.lakehouse_start_date.isoformat()),
    ):
        default = str(Settings.model_fields[name.lower()].default)
        if environment.get(used, environment.get(name, default)) != value:
            raise LakehouseError(f"dbt reads the environment, not .env: export {name}={value} first.")
