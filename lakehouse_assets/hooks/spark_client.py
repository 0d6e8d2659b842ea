"""Intercepts the errors of PySpark's Connect client, to detect a lost server."""

from collections.abc import Callable
from typing import Any


def watch_errors(client: Any, handle_first: Callable[[Exception], None]) -> None:
    """Call `handle_first` with each error of a client, before the client converts the error and raises it."""
    if not hasattr(client, "_handle_error"):
        return
    handle = client._handle_error  # every failed request of PySpark to a server goes through this

    def handled(error: Exception) -> None:
        handle_first(error)
        handle(error)

    client._handle_error = handled
