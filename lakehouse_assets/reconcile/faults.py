"""Classifies failures, and decides when a failed run is retried. Does not use Dagster.

A fault **of the moment** lies in the environment of a run: the store, the network, the engine, the machine, another writer. It is
retried after growing pauses, without limit, because only a retry may show that, for example, credentials are valid again. A fault
**of the data** returns until files, contracts or code change, so it is not retried before. An **unknown** fault is retried like
one of the moment, but only a few times.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lakehouse_assets.errors import (
    AlertError,
    EngineError,
    LakehouseError,
    PollError,
    ServiceError,
    SettingsError,
    UnreadableError,
)

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)

UNKNOWN_TRIES = 8
"""How often a run with an unknown fault is tried, including the first time: over about two hours."""


class Fault(StrEnum):
    """The kinds of failures; the docstring of this module defines them."""

    moment = "moment"
    data = "data"
    unknown = "unknown"


@dataclass(frozen=True)
class Cause:
    """An exception: the name of its class, and its message."""

    name: str
    message: str = ""


def _names(*classes: type) -> set[str]:
    return {name for cls in classes for name in (cls.__name__, *_names(*cls.__subclasses__()))}


_OUR_MOMENT = _names(AlertError, EngineError, PollError, ServiceError, SettingsError, UnreadableError)
"""A server or store that doesn't answer, an unreadable folder, wrong settings: new files don't fix these."""

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
"""Messages by which errors of general classes, such as `DeltaError` and `OSError`, show a fault of store, network or machine."""

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
"""Classes whose names say too little, so that their message decides. Messages of other classes may repeat arbitrary rows."""


def fault_of(causes: Sequence[Cause]) -> tuple[Fault, str]:
    """Return the fault of a chain of exceptions, outermost first, and the name of the exception that decides.

    The outermost exception with a known name decides: the code that raised it knew the cause. An empty chain means that the
    process has died.

    >>> fault_of([Cause("DagsterExecutionStepExecutionError"), Cause("AuditError")])
    (<Fault.data: 'data'>, 'AuditError')
    """
    if not causes:
        return Fault.moment, "the process has died"
    for cause in causes:
        if cause.name in _DATA:
            return Fault.data, cause.name
        if cause.name in _MOMENT or (cause.name in _GENERAL and _MOMENT_TEXT.search(cause.message)):
            return Fault.moment, cause.name
    return Fault.unknown, causes[-1].name


def worst_of(faults: Sequence[tuple[Fault, str]]) -> tuple[Fault, str]:
    """Return the fault that decides for a run with several: if one may pass, the whole run is retried."""
    return min(faults, key=lambda fault: (Fault.moment, Fault.unknown, Fault.data).index(fault[0]))


def next_try(fault: Fault, ends: Sequence[datetime]) -> datetime | None:
    """Return when to retry, given when the tries so far have ended; None if not before something changes."""
    if fault is Fault.data or (fault is Fault.unknown and len(ends) >= UNKNOWN_TRIES):
        return None
    # The exponent is limited: the pause is at its longest by then, and larger numbers overflow a timedelta.
    return max(ends) + min(FIRST_PAUSE * (1 << min(len(ends) - 1, 16)), LONGEST_PAUSE)
