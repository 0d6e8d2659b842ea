"""What puts files into landing, and what is decided about them."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from lakehouse_assets.cli.options import Json, date_of
from lakehouse_assets.cli.output import say
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.cli.signals import stopped_by_signals
from lakehouse_assets.errors import LandingError
from lakehouse_assets.settings import Settings, load_settings


def land(
    feed: Annotated[str, typer.Argument(metavar="SYSTEM/ENTITY", help="Such as crm/customers.")],
    files: Annotated[list[Path], typer.Argument(help="Files to put into landing.")],
    day: Annotated[str, typer.Option("--date", help="The landing date, YYYY-MM-DD.")],
) -> None:
    """Put files into landing. The next pass or the sensor loads them."""
    from lakehouse_assets.landing.objects import Landing
    from lakehouse_assets.systems import catalog

    settings = load_settings()
    known = sorted(feed.landing for feed in catalog(settings.system_packages).feeds)
    if feed not in known:
        raise LandingError(f"{feed!r} is not a feed of the lakehouse. Known are: {', '.join(known)}.")
    landing_date = date_of(day)
    if landing_date < settings.lakehouse_start_date:
        raise LandingError(f"{day} is before the first partition, LAKEHOUSE_START_DATE={settings.lakehouse_start_date}.")
    missing = [str(f) for f in files if not f.is_file()]
    if missing:
        raise LandingError(f"No such file: {', '.join(missing)}. Nothing was landed.")
    for file in files:
        typer.echo(Landing(settings.root).put(feed, landing_date, file))


def drain(
    follow: Annotated[bool, typer.Option("--follow", help="Stay up: what comes is in landing at once.")] = False,
    records: Annotated[int | None, typer.Option(min=1, help="End after about so many records of each topic.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
    as_json: Json = False,
) -> None:
    """Drain Kafka topics into landing, each record once. The next pass or the sensors load it. See docs/streaming.md."""
    from lakehouse_assets.landing.drain.drain import drain_all
    from lakehouse_assets.landing.objects import Landing
    from lakehouse_assets.systems import catalog

    settings = load_settings()
    sources = settings.kafka_sources(catalog(settings.system_packages).feeds)
    preflight(settings, writes=True, creates=True)
    limits = settings.drain_limits(follow=follow, records=records, seconds=seconds)
    with stopped_by_signals() as stopped:
        done = drain_all(sources, Landing(settings.root), limits, say, stopped)
    if as_json:
        typer.echo(json.dumps({"topics": [drained.to_json() for drained in done]}))
        return
    for drained in done:
        say(drained.sentence)


def accept(
    feed: Annotated[str, typer.Argument(metavar="SYSTEM/ENTITY", help="A feed of complete deliveries.")],
    day: Annotated[str, typer.Option("--date", help="The landing date of the delivery, YYYY-MM-DD.")],
) -> None:
    """Let a complete delivery delete the keys that it lacks, even if it is much smaller than the one before."""
    from lakehouse_assets.silver.deliveries import accept_delivery
    from lakehouse_assets.systems import catalog

    settings = preflight(load_settings(), writes=True)
    complete = {f.landing: f for f in catalog(settings.system_packages).feeds if f.complete}
    if feed not in complete:
        known = f"Known are: {', '.join(sorted(complete))}." if complete else "There are none."
        raise LandingError(f"{feed!r} is not a feed of complete deliveries. {known}")
    accepted = accept_delivery(settings.root, complete[feed], date_of(day))
    say(f"Accepted: {accepted.rows:,} rows; {accepted.rows_before:,} before. `lakehouse sync` deletes the missing keys.")


def deliveries(folder: Path, systems: Sequence[str]) -> list[tuple[str, date, Path]]:
    """Return the files of some systems in a folder that is laid out as landing, each with its feed and landing date."""
    files = sorted(file for name in systems for file in folder.glob(f"{name}/*/*/*"))
    return [("/".join(file.parts[-4:-2]), date.fromisoformat(file.parts[-2]), file) for file in files]


def land_if_new(settings: Settings, feed: str, day: date, file: Path) -> None:
    """Put a sample file into landing unless it is there already: a new upload of the same bytes would only be read again.

    Samples don't change, so a file of the same name and size is the same.
    """
    from lakehouse_assets.landing.objects import Landing

    landing = Landing(settings.root)
    if landing.size(feed, day, file.name) != file.stat().st_size:
        landing.put(feed, day, file)
