"""Which failures pass by themselves, and when what failed is tried again. Knows no Dagster.

A fault **of the moment** lies in what a run stands on: the store, the network, the engine, the machine, another writer. It is tried
again at growing pauses, without end: nothing else may tell that credentials are valid again. A fault **of the data** comes back as
long as files, contracts and code are what they are: trying again waits until they change. What is **unknown** is tried again like a
fault of the moment, a few times.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lakehouse_assets.errors import EngineError, LakehouseError, ServiceError, SettingsError, UnreadableError

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)

UNKNOWN_TRIES = 8
"""How often what failed for an unknown reason is tried, the first time included: over some two hours."""


class Fault(StrEnum):
    """The kinds of failures, as the docstring of this module tells them apart."""

    moment = "moment"
    data = "data"
    unknown = "unknown"


@dataclass(frozen=True)
class Cause:
    """An exception by the name of its class, and what it says."""

    name: str
    message: str = ""


def _names(*classes: type) -> set[str]:
    return {name for cls in classes for name in (cls.__name__, *_names(*cls.__subclasses__()))}


_OUR_MOMENT = _names(EngineError, ServiceError, SettingsError, UnreadableError)
"""A server or a store that doesn't answer, a folder that can't be read, settings that don't lead there: no new file mends them."""

_MOMENT = _OUR_MOMENT | {
    # the machine
    "BlockingIOError",
    "BrokenPipeError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "DagsterExecutionInterruptedError",
    "InterruptedError",
    "KeyboardInterrupt",
    "MemoryError",
    "OperationalError",
    "SystemExit",
    "TimeoutError",
    "gaierror",
    "timeout",
    # the store: obstore, botocore, DuckDB's client
    "ClientError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "CredentialRetrievalError",
    "EndpointConnectionError",
    "HTTPClientError",
    "HTTPException",
    "NoCredentialsError",
    "OutOfMemoryException",
    "PermissionDeniedError",
    "PermissionError",
    "ReadTimeoutError",
    "UnauthenticatedError",
    # another writer
    "AlreadyExistsError",
    "CommitFailedError",
    "PreconditionError",
    "TransactionException",
    # the engine
    "RetriesExceeded",
    "_InactiveRpcError",
    "_MultiThreadedRendezvous",
    # Dagster's own processes
    "DagsterUserCodeUnreachableError",
}

_DATA = (_names(LakehouseError) - _OUR_MOMENT) | {"DagsterAssetCheckFailedError"}

_MOMENT_TEXT = re.compile(
    r"\b(429|500|502|503|504)\b|SlowDown|ServiceUnavailable|InternalError|RequestTimeout|Throttl|ExpiredToken"
    r"|timed? ?out|connection (reset|refused|closed|error)|broken pipe|error sending request|no space left|disk full"
    r"|too many open files|database is locked|UNAVAILABLE|failed to connect",
    re.IGNORECASE,
)
"""What the store, the network and the machine say by errors of general classes, such as Delta's `DeltaError` and `OSError`."""

_GENERAL = {
    "BaseError",
    "DeltaError",
    "Exception",
    "Failure",
    "GenericError",
    "IOException",
    "OSError",
    "RuntimeError",
    "SparkConnectGrpcException",
    "SparkException",
}
"""Classes that say too little by their name: of these the message counts. Of others it may repeat rows, which say anything."""


def fault_of(causes: Sequence[Cause]) -> tuple[Fault, str]:
    """What kind of fault a chain of exceptions is, the outermost first, and the name of the exception that says so.

    Where the outer one has a known name it decides: whoever raised it knew what had happened inside. No exception at all is a process
    that has gone.

    >>> fault_of([Cause("DagsterExecutionStepExecutionError"), Cause("AuditError")])
    (<Fault.data: 'data'>, 'AuditError')
    """
    if not causes:
        return Fault.moment, "the process has gone"
    for cause in causes:
        if cause.name in _DATA:
            return Fault.data, cause.name
        if cause.name in _MOMENT or (cause.name in _GENERAL and _MOMENT_TEXT.search(cause.message)):
            return Fault.moment, cause.name
    return Fault.unknown, causes[-1].name


def worst_of(faults: Sequence[tuple[Fault, str]]) -> tuple[Fault, str]:
    """The fault that decides for a run of several: one that may pass is worth another try of all."""
    return min(faults, key=lambda fault: (Fault.moment, Fault.unknown, Fault.data).index(fault[0]))


def next_try(fault: Fault, ends: Sequence[datetime]) -> datetime | None:
    """When what has failed is tried again, by when its tries have ended. None: not before something changes."""
    if fault is Fault.data or (fault is Fault.unknown and len(ends) >= UNKNOWN_TRIES):
        return None
    # Beyond some doublings the pause is the longest anyway, and a number that is too large for a time.
    return max(ends) + min(FIRST_PAUSE * (1 << min(len(ends) - 1, 16)), LONGEST_PAUSE)
