"""Results that are kept on disk from one process to the next. Each is a function of given texts and of the code that computes it.

A result lies under a hash of both, so it can't be out of date: other texts or other code have another hash. If it can't be read or
written, it is computed.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse_assets.files import write_whole

_KEPT = 1_000
"""How many results are kept, at least. Older ones are deleted from time to time, and computed again if they are asked for."""

_folder: Path | None = None


def remember_in(folder: Path | None) -> None:
    """Keep results in this folder from now on. Without one, they are computed."""
    global _folder
    _folder = folder


def remembered(code: str, texts: bytes, compute: Callable[[], Any]) -> Any:
    """Return what `compute` returns, plain JSON values, or what it once returned for the same texts and the same code.

    `code` is the file whose code computes it. The result may also depend on the version of Python, but on nothing else.
    """
    if _folder is None:
        return compute()
    key = hashlib.sha256(b"\0".join([_code(code), sys.version.encode(), texts])).hexdigest()
    file = _folder / f"{key}.json"
    with suppress(OSError, ValueError):
        return json.loads(file.read_bytes())
    result = compute()
    with suppress(OSError):
        _folder.mkdir(parents=True, exist_ok=True)
        _forget_old(_folder)
        write_whole(file, json.dumps(result))
    return result


@cache
def _code(file: str) -> bytes:
    return Path(file).read_bytes()


def _forget_old(folder: Path) -> None:
    """Delete the oldest results once there are twice as many as are kept."""
    files = list(folder.glob("*.json"))
    if len(files) < 2 * _KEPT:
        return
    by_age: list[tuple[float, Path]] = []
    for file in files:
        with suppress(FileNotFoundError):  # another process deletes them too
            by_age.append((file.stat().st_mtime, file))
    for _, file in sorted(by_age)[:-_KEPT]:
        file.unlink(missing_ok=True)
