"""Trying again at growing pauses. The one way in which this package does so; clients of stores and servers have ways of their own."""

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
    """What `attempt` returns at last. It is made again where it raises `on_error` or `on_result` is true of what it returns.

    Pauses double from `first_pause` (seconds). What the last attempt returns or raises counts.
    """
    import tenacity

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on_error) | tenacity.retry_if_result(on_result),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_exponential(multiplier=first_pause),
        sleep=lambda seconds: time.sleep(seconds),  # looked up at each pause
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return again(attempt)
