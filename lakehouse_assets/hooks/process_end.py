"""A fast exit of this process: the interpreter's own frees memory object by object, which takes most of a second after a pass."""

import atexit
import os
import sys
from typing import NoReturn

from lakehouse_assets.hooks.names import PROCESS_END


def end_process(code: int) -> NoReturn:
    """Run the exit handlers, flush the output, and exit at once: the kernel frees the memory."""
    if not PROCESS_END.is_usable:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
