"""Data that comes with the package: the dbt project, the sample data, the template of a new project.

In a checkout these folders are beside the package; an installed package contains them.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """The folder of bundled data with this name. Read-only."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def built_in_project(cache: Path) -> Path:
    """The folder of the bundled dbt project. dbt writes into it, so for an installed package this is a copy in `cache`."""
    folder = bundled("dbt_project")
    if folder.parent != _PACKAGE:
        return folder
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    copy = cache / "dbt" / f"lakehouse-{digest.hexdigest()[:12]}"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
        shutil.copytree(folder, unfinished / copy.name)
        try:
            (unfinished / copy.name).rename(copy)
        except OSError:
            if not copy.exists():  # otherwise another process was faster
                raise
        finally:
            shutil.rmtree(unfinished)
    return copy
