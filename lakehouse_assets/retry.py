"""Retries with growing pauses. All retries of this package go through here; clients of stores and servers have their own."""

import time
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


def retried(
    attempt: Callable[[], _Result],
    *,
    attempts: int,
    first_pause: float,
    on_error: type[Exception] | tuple[type[Exception], ...] = (),
    on_result: Callable[[_Result], bool] = lambda result: False,
) -> _Result:
    """The result of `attempt`. It is called again if it raises `on_error`, or if `on_result` is true of its result.

    Pauses double from `first_pause` (seconds). The last attempt's result or exception is final.
    """
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on_error) | tenacity.retry_if_result(on_result),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_exponential(multiplier=first_pause),
        sleep=lambda seconds: time.sleep(seconds),  # a lambda, so that tests can replace `time.sleep`
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return retrying(attempt)
