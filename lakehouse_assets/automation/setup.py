"""Set-up of a new environment: dbt's manifest, the engine's jars and its archive of classes.

Run as `python -m lakehouse_assets.automation.setup`; `make` does it on first use.
"""

import sys

from lakehouse_assets.engine.prepare import prepare
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.project import prepare_manifest
from lakehouse_assets.settings import load_settings


def main() -> int:
    """Set up; the exit code."""
    try:
        prepare_manifest()
        prepare(load_settings().engine_config)
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
