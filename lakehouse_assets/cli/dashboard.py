"""The dashboard in the browser."""

from typing import Annotated

import typer


def dashboard(
    host: Annotated[str, typer.Option(help="The address to listen on. The dashboard asks nobody who they are.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8501,
) -> None:
    """Show the lakehouse in the browser: what arrived and failed, quality, sales, stock, support. Read-only."""
    from lakehouse_assets.dashboard.serve import serve
    from lakehouse_assets.settings import load_settings

    load_settings()  # a wrong setting is said here, not on each page
    serve(host, port)
