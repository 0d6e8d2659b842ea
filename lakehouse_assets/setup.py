"""Sets up dbt's manifest, the engine's jars and class archive, and the folder of the Dagster instance.

`make` runs it as `python -m lakehouse_assets.setup`. It prints the folder of the Dagster instance, and returns at once if all is
done.
"""

import sys

from lakehouse_assets.engine.prepare import prepare
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.orchestration.instance import prepare_home
from lakehouse_assets.settings import load_catalog, load_settings


def main() -> int:
    """Run the set-up and return the exit code."""
    try:
        settings = load_settings()
        load_catalog(settings)
        settings.gold_project.manifest()
        if settings.lakehouse_engine == "spark":
            prepare(settings.local_spark)
        prepare_home(settings.dagster_home, settings.root)
    except LakehouseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(settings.dagster_home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
