"""How the definitions can fail to load without a trace of Dagster's own code, in the UI and in the log."""

import dagster as dg

from lakehouse_assets.hooks.names import LOAD_ERROR


def load_error(message: str) -> Exception:
    """The error to raise where the definitions can't be loaded, of which Dagster shows the message alone."""
    if not LOAD_ERROR.is_usable:
        return dg.DagsterInvalidDefinitionError(message)
    from dagster._core.errors import DagsterUserCodeProcessError
    from dagster_shared.error import SerializableErrorInfo

    info = SerializableErrorInfo(message=message, stack=[], cls_name=None)
    return DagsterUserCodeProcessError(message, user_code_process_error_infos=[info])  # type: ignore[no-untyped-call]
