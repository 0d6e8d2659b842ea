"""Where the dbt project lies, what its process is told, and its manifest, parsed anew whenever a file of the project has changed."""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.dbt_ahead import executable
from lakehouse_assets.gold.models import Model, project_digest, read_models

PROJECT_FOLDER = Path(__file__).parents[2] / "dbt_project"

RUN_DATABASE = "LAKEHOUSE_GOLD_DATABASE"
"""The environment variable by which dbt's process learns the path of the run's database file."""

RUN_ROOT = "LAKEHOUSE_GOLD_ROOT"
"""The environment variable by which dbt's process learns the URI of the root."""


def prepare_manifest(folder: Path = PROJECT_FOLDER) -> Path:
    """The manifest of the project as it is now; dbt parses only where a file has changed since the last time.

    Raises:
        LakehouseError: dbt can't parse the project; the text is dbt's.
    """
    manifest, mark = folder / "target" / "manifest.json", folder / "target" / "parsed-from"
    digest = project_digest(folder)
    if not manifest.exists() or not mark.exists() or mark.read_text() != digest:
        command = [executable("dbt"), "--quiet", "--no-version-check", "parse", "--target-path", "target"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LakehouseError(f"dbt can't parse the project in {folder}: {(done.stdout + done.stderr).strip()}")
        mark.write_text(digest)
    return manifest


def read_manifest(folder: Path = PROJECT_FOLDER) -> Mapping[str, Any]:
    """The manifest of the project as it is now."""
    return _parsed(prepare_manifest(folder), project_digest(folder))


def models(folder: Path = PROJECT_FOLDER) -> list[Model]:
    """The models of the project as it is now, each after those that it reads."""
    return read_models(read_manifest(folder))


@cache
def _parsed(manifest: Path, digest: str) -> Mapping[str, Any]:
    del digest  # tells the states of one file apart
    found: Mapping[str, Any] = json.loads(manifest.read_text())
    return found
