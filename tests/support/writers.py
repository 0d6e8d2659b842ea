"""Writers that stop at each request to the store until they are told to go on: interleavings of two processes, but repeatable.

Each writer is a thread, of which one alone runs at a time. What a process keeps for itself, such as the tables that it has open, each
writer has for itself. A fault is raised in place of a write or after it, as a store does that refuses a request or loses its reply.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from unittest.mock import patch

import obstore
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.table import TableAlterer

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.delta import tables
from lakehouse_assets.landing.objects import Landing

_SECONDS = 60
"""No step takes longer; one that does waits for a writer that stands still."""


class Killed(BaseException):
    """Ends a writer where a kill would."""


@dataclass(frozen=True)
class Fault:
    """What befalls the next write: before it happens, or after it, when only the reply is lost."""

    when: Literal["before", "after"]
    kind: Literal["conflict", "store", "kill"]

    def error(self, request: str) -> BaseException:
        if self.kind == "kill":
            return Killed()
        # A retry that meets its own first try is a conflict to delta-rs.
        return CommitFailedError("412") if self.kind == "conflict" and request != "put" else OSError("500")


class Writer(threading.Thread):
    """A process that builds something, one request after the other."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.done = False
        self.error: BaseException | None = None
        self.fault: Fault | None = None
        self.at = "start"
        self.met: list[Fault] = []
        self.kept: dict[str, Any] = {}
        self._work, self._killed = work, False
        self._go, self._live = threading.Semaphore(0), threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        self._go.acquire()
        _current.writer = self
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - it is looked at by whoever started the writer
            self.error = error
        self.done = True
        self._live.release()

    def go(self, requests: int = 1) -> "Writer":
        """Let it go on until it stands before or after a request, so many times."""
        for _ in range(requests):
            if self.done:
                break
            self._go.release()
            assert self._live.acquire(timeout=_SECONDS), f"the writer stands still after {self.at}"
        return self

    def go_until(self, place: str) -> "Writer":
        """Let it go on until it stands at a place such as `after commit`."""
        while not self.done and self.at != place:
            self.go()
        return self

    def finish(self) -> "Writer":
        return self.go(1_000)

    def kill(self) -> "Writer":
        self._killed = True
        return self.finish()

    def pause(self, place: str) -> None:
        self.die_if_killed()
        self.at = place
        self._live.release()
        self._go.acquire()
        self.die_if_killed()

    def die_if_killed(self) -> None:
        if self._killed:
            raise Killed

    def meet(self, when: str, request: str) -> None:
        fault = self.fault
        if fault is None or fault.when != when:
            return
        self.fault = None
        self.met.append(fault)
        self._killed |= fault.kind == "kill"
        raise fault.error(request)


class _Current(threading.local):
    writer: Writer | None = None


_current = _Current()


def pause(place: str) -> None:
    """Stand still here, where a writer runs."""
    if _current.writer is not None:
        _current.writer.pause(place)


class _KeptOpen(dict[str, Any]):
    """The tables that this writer has open."""

    def _own(self) -> dict[str, Any]:
        return self._others if _current.writer is None else _current.writer.kept

    def __init__(self) -> None:
        super().__init__()
        self._others: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._own().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._own()

    def __getitem__(self, key: str) -> Any:
        return self._own()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._own()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._own()[key]

    def pop(self, key: str, *default: Any) -> Any:
        return self._own().pop(key, *default)

    def clear(self) -> None:
        self._own().clear()


def _write(function: Callable[..., Any], request: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        writer = _current.writer
        if writer is None:
            return function(*args, **kwargs)
        writer.pause(f"before {request}")
        writer.meet("before", request)
        result = function(*args, **kwargs)
        writer.meet("after", request)
        writer.pause(f"after {request}")
        return result

    return call


def _read(function: Callable[..., Any], request: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        pause(f"after {request}")
        return result

    return call


def _unless_killed(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if _current.writer is not None:
            _current.writer.die_if_killed()  # who is killed tidies nothing up
        return function(*args, **kwargs)

    return call


def _sleep(function: Callable[[float], None]) -> Callable[[float], None]:
    def call(seconds: float) -> None:
        if _current.writer is None:
            function(seconds)
        else:
            pause("asleep")

    return call


@contextmanager
def stopping_writers() -> Iterator[None]:
    """Until the end of this, writers stop at their requests."""
    with ExitStack() as stack:
        for owner, name, wrapped in (
            (tables, "write_deltalake", _write(tables.write_deltalake, "write")),
            (DeltaTable, "create_write_transaction", _write(DeltaTable.create_write_transaction, "commit")),
            (obstore, "put", _write(obstore.put, "put")),
            (TableAlterer, "add_columns", _write(TableAlterer.add_columns, "alter")),
            (obstore, "delete", _unless_killed(obstore.delete)),
            (Landing, "listing", _read(Landing.listing, "listing")),
            (Ledger, "_records", _read(Ledger._records, "records")),
            (Ledger, "_read_briefly", _read(Ledger._read_briefly, "records")),
            (time, "sleep", _sleep(time.sleep)),
            (tables, "_kept_open", _KeptOpen()),
        ):
            stack.enter_context(patch.object(owner, name, wrapped))
        yield
