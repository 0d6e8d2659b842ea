"""How the client of PySpark Connect tells of a server that has gone."""

from collections.abc import Callable
from typing import Any


def watch_errors(client: Any, handle_first: Callable[[Exception], None]) -> None:
    """Hand each error of a client to a function, before the client makes of it what it raises."""
    if not hasattr(client, "_handle_error"):
        return
    handle = client._handle_error  # all that PySpark asks of a server fails by way of this

    def handled(error: Exception) -> None:
        handle_first(error)
        handle(error)

    client._handle_error = handled
