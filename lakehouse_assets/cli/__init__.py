"""The command line, `lakehouse`. Each command reads the settings, calls the module that does the work, and shows the result.

With `--json`, stdout gets one document and nothing else; progress and warnings go to stderr. A command imports heavy modules only
if it needs them, so a pass with nothing to do takes little more than Python's own start.
"""

from lakehouse_assets.cli.entry import app, main

__all__ = ["app", "main"]
