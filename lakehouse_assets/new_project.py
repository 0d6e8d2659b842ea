"""Creates a new project: a source system, a gold model, a test, a Makefile."""

import keyword
import re
from pathlib import Path

from lakehouse_assets.bundled import bundled
from lakehouse_assets.errors import ProjectError

_NAME = "MYPROJECT"
"""The placeholder for the project's name in the files and paths of the template."""

_HIDDEN = ("env", "gitignore")
"""Files of the template whose names get a leading dot."""


def lay_out(folder: Path) -> list[Path]:
    """Write the files of a new project into a folder, which is created if missing. Returns the files.

    Raises:
        ProjectError: the folder is not empty, or its name can't be the name of a Python package.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder} exists and is not an empty folder. Name another one.")
    name = re.sub(r"\W+", "_", folder.resolve().name).lower()
    if not name.isidentifier() or keyword.iskeyword(name) or name in _RESERVED:
        raise ProjectError(
            f"{folder}: a project is a Python package of the same name, and {name!r} can't be one. Name another folder."
        )
    template = bundled("project_template")
    written = []
    for source in sorted(path for path in template.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        path = str(source.relative_to(template)).replace(_NAME, name)
        target = folder / (f".{path}" if path in _HIDDEN else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text().replace(_NAME, name))
        written.append(target)
    return written


_RESERVED = ("lakehouse", "lakehouse_assets", "systems", "tests", "dbt_project", "dbt", "dagster", "sample_data")
"""Names that would shadow another package or a folder of the project itself."""
