"""Starts Streamlit over the pages."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from lakehouse_assets.errors import SettingsError

APP = Path(__file__).with_name("app.py")


def command(host: str, port: int) -> list[str]:
    """Return the command that serves the dashboard: read-only, and without Streamlit's reports of its use.

    Raises:
        SettingsError: Streamlit is not installed.
    """
    if find_spec("streamlit") is None or find_spec("plotly") is None:
        raise SettingsError("The dashboard needs Streamlit: install it with `pip install 'lakehouse-assets[dashboard]'`.")
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "theme.primaryColor": "#2f7ed8",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *given]


def serve(host: str, port: int) -> NoReturn:
    """Become the server of the dashboard: this process is Streamlit's from now on."""
    os.execv(sys.executable, command(host, port))  # noqa: S606  no shell is wanted
