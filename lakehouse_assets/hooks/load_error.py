"""Lets the definitions fail to load without a traceback through Dagster's code in the UI and the log."""

import dagster as dg

from lakehouse_assets.hooks.names import LOAD_ERROR


def load_error(message: str) -> Exception:
    """The error to raise when the definitions can't be loaded. Dagster shows only its message."""
    if not LOAD_ERROR.is_usable:
        return dg.DagsterInvalidDefinitionError(message)
    from dagster._core.errors import DagsterUserCodeProcessError
    from dagster_shared.error import SerializableErrorInfo

    info = SerializableErrorInfo(message=message, stack=[], cls_name=None)
    return DagsterUserCodeProcessError(message, user_code_process_error_infos=[info])  # type: ignore[no-untyped-call]
