"""Retries with growing pauses. All retries of this package go through here; clients of stores and servers have their own."""

import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

_Result = TypeVar("_Result")


def retried(
    attempt: Callable[[], _Result],
    *,
    attempts: int,
    first_pause: float,
    on_error: type[Exception] | tuple[type[Exception], ...] = (),
    on_result: Callable[[_Result], bool] = lambda result: False,
    least_pause: Callable[[BaseException], float] = lambda error: 0.0,
    seconds_left: Callable[[], float] = lambda: inf,
) -> _Result:
    """The result of `attempt`. It is called again if it raises `on_error`, or if `on_result` is true of its result.

    Pauses double from `first_pause` (seconds); after an error, they are at least `least_pause` of it. The last attempt's result or
    exception is final, and so is one after which the pause would not end within `seconds_left`.
    """
    import tenacity

    growing = tenacity.wait_exponential(multiplier=first_pause)

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(growing(state), least_pause(error) if error else 0.0)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on_error) | tenacity.retry_if_result(on_result),
        stop=lambda state: state.attempt_number >= attempts or state.upcoming_sleep >= seconds_left(),
        wait=pause,
        sleep=lambda seconds: time.sleep(seconds),  # a lambda, so that tests can replace `time.sleep`
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return retrying(attempt)
