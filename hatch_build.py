"""Puts into the wheel what lies beside the package in a checkout; `lakehouse_assets/bundled.py` finds it in either place."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDERS = (
    "dbt_project/dbt_project.yml",
    "dbt_project/profiles.yml",
    "dbt_project/macros",
    "dbt_project/models",
    "dbt_project/seeds",
    "dbt_project/tests",
    "project_template",
    "sample_data",
)


class BundledFolders(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the folders to a wheel, and not to an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """What hatchling calls before it builds."""
        if version != "editable":
            build_data["force_include"] |= {path: f"lakehouse_assets/{path}" for path in _FOLDERS}
