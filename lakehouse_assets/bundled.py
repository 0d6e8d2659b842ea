"""Data that comes with the package: the dbt project, the sample data, the template of a new project.

In a checkout these folders are beside the package; an installed package contains them.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """The folder of bundled data with this name. Read-only."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def is_installed() -> bool:
    """Whether the package was installed, and is not a checkout."""
    return (_PACKAGE / "dbt_project").is_dir()
