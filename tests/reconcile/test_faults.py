"""How failures are classified, and when they are retried."""

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse_assets.reconcile.faults import UNKNOWN_TRIES, Cause, Fault, fault_of, next_try, worst_of

STEP = Cause("DagsterExecutionStepExecutionError", 'Error occurred while executing op "silver__x"')

MOMENT = [
    Cause("CommitFailedError", "Transaction failed: Version 3 already exists"),
    Cause("GenericError", "Generic S3 error: Server returned non-2xx status code: 503 Service Unavailable: SlowDown"),
    Cause("DeltaError", "Generic S3 error: Error after 0 retries in 12s: error sending request for url"),
    Cause("OSError", "Generic S3 error: connection reset by peer"),
    Cause("OSError", "[Errno 28] No space left on device"),
    Cause("ConnectionResetError", "[Errno 104] Connection reset by peer"),
    Cause("TimeoutError", "timed out"),
    Cause("UnauthenticatedError", "ExpiredToken"),
    Cause("PermissionDeniedError", "AccessDenied"),
    Cause("HTTPException", "HTTP Error: HTTP GET error reading 's3://…' (HTTP 500)"),
    Cause("SparkConnectGrpcException", "<_MultiThreadedRendezvous of RPC that terminated with: UNAVAILABLE"),
    Cause("RetriesExceeded", "[RETRIES_EXCEEDED] The maximum number of retries has been exceeded."),
    Cause("EngineError", "LAKEHOUSE_ENGINE: no Spark Connect server answers"),
    Cause("SettingsError", "AWS_ENDPOINT_URL: nothing answers"),
    Cause("OperationalError", "database is locked"),
    Cause("MemoryError"),
    Cause("Failure", "Runtime Error in model fact_sales: HTTP 503"),
]

DATA = [
    Cause("AuditError", "silver/x: nothing was published of 2026-01-05. 500 rows broke total"),
    Cause("ContractError"),
    Cause("PartitionGuardError"),
    Cause("DagsterAssetCheckFailedError"),
]

UNKNOWN = [
    Cause("KeyError", "'503'"),
    Cause("ArrowInvalid", "a row that says: connection reset"),
    Cause("OSError", "Corrupt footer"),
    Cause("Failure", "Compilation Error in model fact_sales"),
]


@pytest.mark.parametrize(
    ("cause", "fault"),
    [*((c, Fault.moment) for c in MOMENT), *((c, Fault.data) for c in DATA), *((c, Fault.unknown) for c in UNKNOWN)],
    ids=lambda value: value.name,
)
def test_the_class_of_an_exception_tells_what_kind_of_fault_it_is(cause, fault):
    assert fault_of([STEP, cause]) == (fault, cause.name)


def test_a_process_that_has_gone_is_of_the_moment():
    assert fault_of([])[0] is Fault.moment


def test_whoever_raised_last_knew_best():
    assert fault_of([STEP, Cause("AuditError"), Cause("TimeoutError")])[0] is Fault.data
    assert fault_of([STEP, Cause("CommitFailedError"), Cause("AnalysisException")])[0] is Fault.moment


def test_a_run_in_which_anything_may_pass_is_worth_another_try():
    faults = [(Fault.data, "AuditError"), (Fault.moment, "TimeoutError"), (Fault.unknown, "KeyError")]
    assert worst_of(faults) == (Fault.moment, "TimeoutError")
    assert worst_of(faults[::2]) == (Fault.unknown, "KeyError")


NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_pauses_double_from_a_minute_to_an_hour():
    pauses = [next_try(Fault.moment, [NOON] * tries) - NOON for tries in (1, 2, 3, 6, 7, 8, 5_000)]
    assert pauses == [timedelta(minutes=m) for m in (1, 2, 4, 32, 60, 60, 60)]


def test_a_pause_begins_with_the_end_of_the_last_try():
    assert next_try(Fault.moment, [NOON, NOON + timedelta(hours=3)]) == NOON + timedelta(hours=3, minutes=2)


def test_a_fault_of_the_data_is_not_tried_again():
    assert next_try(Fault.data, [NOON]) is None


def test_what_nobody_knows_is_tried_a_few_times():
    assert next_try(Fault.unknown, [NOON] * (UNKNOWN_TRIES - 1)) is not None
    assert next_try(Fault.unknown, [NOON] * UNKNOWN_TRIES) is None
