"""Makes the pictures of the dashboard in docs/images, over the demo: `make screenshots`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lakehouse_assets.dashboard import serve
from lakehouse_assets.services.service import free_port
from tests.support.browser import chromium, served, settled

IMAGES = Path(__file__).parents[2] / "docs" / "images"

VIEWS = {
    "today": ("Today", ""),
    "flow": ("Flow", "flow?from=2026-01-31&to=2026-02-09"),
    "quality": ("Quality", "quality"),
    "sales": ("Sales", "sales?from=2025-04-01&to=2025-04-30"),
    "inventory": ("Inventory", "inventory"),
    "support": ("Support", "support"),
    "bikes": ("Bikes", "bikes?city=Paris"),
    "lineage": ("Lineage", "lineage?table=gold.station_availability"),
}
"""By the name of the picture: the title and the address of the page."""


def main() -> None:
    """Build the demo in a folder of its own, and take a picture of each page."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"LAKEHOUSE_ROOT": os.environ.get("LAKEHOUSE_ROOT", f"{folder}/lakehouse"), "LAKEHOUSE_ENGINE": "sail"}
        subprocess.run(
            [sys.executable, "-m", "lakehouse_assets.cli", "demo"],
            env={**os.environ, **environment},
            check=True,
            stdout=sys.stderr,
        )
        port = free_port(0)
        IMAGES.mkdir(exist_ok=True)
        with served(serve.command("127.0.0.1", port), port, environment) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            for name, (title, path) in VIEWS.items():
                page.goto(f"{address}/{path}")
                settled(page, title)
                page.wait_for_timeout(1500)  # charts draw themselves after the page has been rendered
                page.screenshot(path=str(IMAGES / f"dashboard-{name}.png"))


if __name__ == "__main__":
    main()
