"""A quick end of this process: the interpreter's own frees memory object by object, for most of a second after a pass."""

import atexit
import os
import sys
from typing import NoReturn

from lakehouse_assets.hooks.names import PROCESS_END


def end_process(code: int) -> NoReturn:
    """Do what is to be done at exit, and let the kernel free the memory at once."""
    if not PROCESS_END.is_usable:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
