"""Debian's Chromium, driven as a person would, and servers for it to look at."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from lakehouse_assets.engine.server import port_answers

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; nothing is downloaded."""
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing: `apt-get install chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(command: Sequence[str], port: int, environment: Mapping[str, str], cwd: Path | None = None) -> Iterator[str]:
    """Run a server until the block ends; yields its address once it answers."""
    server = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not port_answers(port):
            assert server.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} does not answer"
            time.sleep(0.1)
        address = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(address, timeout=30).close()
        yield address
    finally:
        server.terminate()
        server.wait(30)


def settled(page: Page, title: str) -> None:
    """Wait until the dashboard has rendered a page."""
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for(timeout=30_000)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]').getAttribute('data-test-script-state') === 'notRunning'", timeout=30_000
    )
    assert page.get_by_test_id("stException").count() == 0
