"""What comes with the package and is no code: the dbt project, the sample data, the files of a new project.

They lie beside the package in a checkout, and within it where it is installed.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """The folder of that name, to be read."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def built_in_project(cache: Path) -> Path:
    """The folder of the dbt project that comes with the package. dbt writes into it: so of an installed one it is a copy in `cache`."""
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
            if not copy.exists():  # else somebody else was quicker
                raise
        finally:
            shutil.rmtree(unfinished)
    return copy
