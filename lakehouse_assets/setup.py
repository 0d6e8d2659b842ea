"""Set-up: dbt's manifest, the engine's jars and its archive of classes, the folder of the Dagster instance.

Run as `python -m lakehouse_assets.setup`; `make` does it. It prints the Dagster instance's folder, and takes no time where
all is done.
"""

import sys

from lakehouse_assets.engine.prepare import prepare
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.orchestration.instance import prepare_home
from lakehouse_assets.settings import load_catalog, load_settings


def main() -> int:
    """Set up; the exit code."""
    try:
        settings = load_settings()
        load_catalog(settings)
        settings.gold_project.prepare_manifest()
        prepare(settings.local_spark)
        prepare_home(settings.dagster_home, settings.root)
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(settings.dagster_home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
