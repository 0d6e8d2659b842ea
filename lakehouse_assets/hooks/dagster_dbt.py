"""dagster-dbt without start-up costs that bring this project no benefit. Import dagster-dbt from here."""

import sys
from contextlib import suppress
from importlib.metadata import version as installed_version
from typing import Any

from packaging.version import Version

# dagster-dbt imports half of dbt-core for a few names, and falls back to its own if dbt-core is missing. dbt runs in a separate
# process, so this one does not need dbt-core: hiding it saves 1 s in each process that loads the definitions.
if "dbt.version" not in sys.modules:
    sys.modules["dbt.version"] = None  # type: ignore[assignment]
    # A dagster-dbt that can't do without dbt-core is imported below, with it.
    with suppress(ImportError):
        import dagster_dbt  # noqa: F401
    del sys.modules["dbt.version"]

from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)

__all__ = [
    "DagsterDbtTranslator",
    "DagsterDbtTranslatorSettings",
    "DbtCliInvocation",
    "DbtProject",
    "QuickStartDbt",
    "dbt_assets",
]


class QuickStartDbt(DbtCliResource):
    """Starts dbt 4 s faster (of 9 s; dagster-dbt 0.29.27).

    dagster-dbt starts a separate dbt process to get dbt's version, and loads the whole project a second time to look up columns
    in the warehouse after the build. Here the version comes from the installed package, and columns are read from Delta. If the
    overridden names no longer exist, dagster-dbt never calls them.
    """

    @property
    def _cli_version(self) -> Version:
        return Version(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Any) -> Any:
        del args
        return None
