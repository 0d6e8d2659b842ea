"""What a command costs, with all processes that it starts: CPU and wall seconds, peak memory, bytes read, requests. Needs Linux."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_SUBREAPER = 36
"""`PR_SET_CHILD_SUBREAPER`: processes that outlive their parent, such as a Spark server, stay in this process's tree."""

_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """Memory is the peak of the sum over all processes; a page that several of them share counts once.

    `read` is what the command's process, and those that it has waited for, asked the system for, cached or not, program files
    included.
    """

    cpu: float
    wall: float
    peak_megabytes: float
    read_megabytes: float
    output: str
    before: Mapping[str, "Before"]
    """The cost until the command's stderr first had a text."""


@dataclass(frozen=True)
class Before:
    """What a command has cost so far."""

    cpu: float
    read_megabytes: float


def cost_of(command: Sequence[str], environment: Mapping[str, str], folder: Path, marks: Sequence[str] = ()) -> Cost:
    """Run a command in a folder and measure it. `marks` are texts of its stderr at which the cost so far is noted.

    Raises:
        RuntimeError: the command failed; the message is the end of its stderr.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    before, began, peak = _cpu(), time.perf_counter(), 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        # The pipes are files, so that nobody has to read them meanwhile.
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=out, stderr=errors)
        reached: dict[str, Before] = {}
        # A process that has ended stays readable until somebody waits for it.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(_memory(each) for each in _tree()))
            said = _text(errors)
            for mark in marks:
                if mark in said and mark not in reached:
                    reached[mark] = Before(_cpu() - before, _bytes_read(process.pid) / 2**20)
            time.sleep(_SAMPLE_SECONDS)
        wall = time.perf_counter() - began
        read = _bytes_read(process.pid)
        if process.wait() != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{_text(errors)[-3000:]}")
        return Cost(_cpu() - before, wall, peak / 2**20, read / 2**20, _text(out), reached)


def _tree() -> list[psutil.Process]:
    """Return all processes below this one."""
    return psutil.Process().children(recursive=True)


def _cpu() -> float:
    """Return the CPU seconds of all processes below this one so far, ended ones included."""
    own = os.times()
    seconds = own.children_user + own.children_system
    for process in _tree():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _memory(process: psutil.Process) -> int:
    """Return the bytes that a process holds, of shared pages its share.

    A fork shares what its parent has loaded, so the sum of what each process has resident would count that twice.
    """
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def _bytes_read(pid: int) -> int:
    """Return what a process and its ended children have read."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar")))


def _text(file: "tempfile._TemporaryFileWrapper[bytes]") -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


class Requests:
    """Counts the requests to the store, if a proxy is in front of it."""

    def count(self) -> int | None:
        """Return how many requests there were; None if nobody counts."""
        return None


@contextmanager
def counted_minio(is_wanted: bool) -> Iterator[tuple[str | None, Requests]]:
    """Start a MinIO and a proxy that counts; yields a prefix for roots, and the counter. Sets `AWS_*` of this process.

    If it is not wanted, the prefix is None: roots are folders, and nothing is counted.
    """
    if not is_wanted:
        yield None, Requests()
        return
    from lakehouse_assets.services.service import free_port
    from lakehouse_assets.services.store import REGION, MinIO
    from lakehouse_assets.settings import load_settings
    from tests.support.fault_proxy import FaultProxy

    class Counted(Requests):
        def count(self) -> int | None:
            return proxy.requests

    keys = {"access_key": "benchmark", "secret_key": "benchmark-secret"}
    with tempfile.TemporaryDirectory(prefix="lakehouse-minio-") as folder:
        programs = load_settings().lakehouse_cache.expanduser() / "programs"
        store = MinIO(Path(folder), free_port(0), programs, **keys)
        store.up(say)
        try:
            with FaultProxy(store.url) as proxy:
                os.environ |= {
                    "AWS_ENDPOINT_URL": proxy.url,
                    "AWS_ACCESS_KEY_ID": keys["access_key"],
                    "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
                    "AWS_REGION": REGION,
                    "AWS_ALLOW_HTTP": "true",
                }
                yield f"s3://{store.bucket}/benchmark", Counted()
        finally:
            store.down(say)


def say(text: str) -> None:
    """Report progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
