"""Whether the code of this process is still the one on disk: a process that stays must not build tables with code of yesterday."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import lakehouse_assets
from lakehouse_assets.gold.models import project_digest
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import code_folders

_COMMAND = "-m", "lakehouse_assets.cli"
_CHECK_SECONDS = 120
_LONGEST_REASON = 1_000


def code_state(settings: Settings) -> str:
    """Return what changes with the package's code, the systems', the dbt project, and `.env`."""
    folders = {Path(lakehouse_assets.__path__[0]), *code_folders(settings.system_packages)}
    files = sorted({*(file for folder in folders for file in folder.rglob("*.py")), Path(".env").absolute()})
    states = [f"{file} {status.st_mtime_ns} {status.st_size}" for file in files if (status := _status(file)) is not None]
    return "\n".join([*states, *map(project_digest, settings.gold_project.folders)])


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def why_it_cannot_start(environment: Mapping[str, str]) -> str | None:
    """Return why a new process can't load the code and settings, in its own words; None if it can. `environment` is without `.env`."""
    try:
        tried = subprocess.run(
            [sys.executable, *_COMMAND, "plan", "--json"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=_CHECK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it did not start within {_CHECK_SECONDS} s"
    said = " ".join(tried.stderr.rpartition("error: ")[2].split())
    return None if tried.returncode == 0 else said[-_LONGEST_REASON:] or "it ended without a word"


def start_again(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Replace this process by a new one with the same id that runs the same command. Never returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *_COMMAND, *arguments], dict(environment))  # noqa: S606 - this program
