"""What a command costs, with all processes that it starts: CPU and wall seconds, peak memory, bytes read. Needs Linux."""

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SUBREAPER = 36
"""`PR_SET_CHILD_SUBREAPER`: processes that outlive their parent, such as a Spark server, stay in this process's tree."""

_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Cost:
    """`read` is what the processes asked the system for, cached or not, program files included; memory is the peak of the sum."""

    cpu: float
    wall: float
    peak_megabytes: float
    read_megabytes: float
    output: str
    cpu_before: Mapping[str, float]
    """CPU seconds until the command's stderr first had a text."""


def cost_of(command: Sequence[str], environment: Mapping[str, str], folder: Path, marks: Sequence[str] = ()) -> Cost:
    """Run a command in a folder and measure it. `marks` are texts of its stderr at which the CPU time so far is noted.

    Raises:
        RuntimeError: the command failed; the message is the end of its stderr.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    before, began, peak = _cpu(), time.perf_counter(), 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        # The pipes are files, so that nobody has to read them meanwhile.
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=out, stderr=errors)
        reached: dict[str, float] = {}
        # A process that has ended stays readable until somebody waits for it.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(_memory(each) for each in _tree()))
            said = _text(errors)
            for mark in marks:
                if mark in said and mark not in reached:
                    reached[mark] = _cpu() - before
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
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _bytes_read(pid: int) -> int:
    """Return what a process and its ended children have read."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar")))


def _text(file: "tempfile._TemporaryFileWrapper[bytes]") -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
