"""Made-up data: files of all systems, what must come out of them, and events for Kafka."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from lakehouse_assets.cli.landing import deliveries
from lakehouse_assets.cli.options import Json, chosen, date_of
from lakehouse_assets.cli.output import say
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.cli.signals import stopped_by_signals
from lakehouse_assets.errors import LandingError
from lakehouse_assets.settings import load_settings


def generate(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    seed: Annotated[int, typer.Option(help="The same seed and options write the same bytes.")] = 1,
    scale: Annotated[float, typer.Option(help="1 is 1,000 people, 200 products, 5,000 orders; all of them grow with it.")] = 1.0,
    first: Annotated[str, typer.Option("--from", help="The first landing date, YYYY-MM-DD.")] = "2026-01-01",
    last: Annotated[str, typer.Option("--to", help="The last landing date.")] = "2026-01-31",
    systems: Annotated[str, typer.Option(metavar="S,S…|all", help="The systems that deliver.")] = "all",
    dirt: Annotated[float, typer.Option(help="The share of rows with each kind of dirt, 0 to 0.05.")] = 0.01,
    lands: Annotated[
        bool, typer.Option("--land", help="Land the files, too, if landing has no others of these systems.")
    ] = False,
) -> None:
    """Write made-up data of all systems, consistent with each other, and what must come out of it: truth.json."""
    from lakehouse_assets.generate import generator
    from lakehouse_assets.generate.options import Options

    options = Options(seed, scale, date_of(first), date_of(last), dirt)
    names = chosen(systems, generator.system_names())
    settings = preflight(load_settings(), writes=True, creates=True) if lands else None
    if settings is not None and options.first < settings.lakehouse_start_date:
        raise LandingError(f"--from {first} is before the first partition, LAKEHOUSE_START_DATE={settings.lakehouse_start_date}.")
    truth = generator.generate(folder, options, names)
    rows = sum(n for s in truth["systems"].values() for name, n in s["rows"].items() if name.startswith("raw."))
    say(f"{rows:,} rows in {sum(s['files'] for s in truth['systems'].values()):,} files are in {folder}.")
    if settings is not None:
        from lakehouse_assets.landing.objects import Landing

        Landing(settings.root).put_alone(deliveries(folder, names), settings.lakehouse_start_date)
        say(f"They are in {settings.root.path('landing')}, too. Next: `lakehouse sync && lakehouse compare {folder}`")


def compare(
    folder: Annotated[Path, typer.Argument(help="What `lakehouse generate` wrote, and was landed and synced.")],
) -> None:
    """Compare the tables with the truth of generated data, and count the persons that were found. Exit code 1 if tables differ."""
    from lakehouse_assets.generate.generator import read_truth
    from lakehouse_assets.generate.persons import persons_found
    from lakehouse_assets.generate.truth import differences
    from lakehouse_assets.serving import query as serving

    truth = read_truth(folder)
    root = preflight(load_settings()).root

    def query(sql: str) -> list[dict[str, Any]]:
        return serving.as_json(serving.query(root, sql))

    found = differences(truth, query)
    for difference in found:
        typer.echo(difference)
    if (persons := persons_found(truth, query)) is not None:
        for sentence in persons.sentences():
            say(sentence)
    if found:
        raise typer.Exit(1)
    say(f"All tables of {', '.join(truth)} are as {folder} says.")


def produce(
    count: Annotated[int | None, typer.Option(min=1, help="How many orders; without it, until it is stopped.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Orders a second; without it, as fast as the broker takes them.")
    ] = None,
    duplicates: Annotated[float, typer.Option(help="The share of lines that are sent again, 0 to 1.")] = 0.0,
    late: Annotated[float, typer.Option(help="The share of lines that were bought up to five days before.")] = 0.0,
    broken: Annotated[float, typer.Option(help="Broken records for each line; their kinds take turns.")] = 0.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed sends the same orders. By default, others each time.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="The topic. Default: the first one that is drained.")] = None,
    as_json: Json = False,
) -> None:
    """Send made-up orders to Kafka, as events of the order stream. The key of a record is the id of its order."""
    from lakehouse_assets.generate import stream
    from lakehouse_assets.landing.drain.broker import Broker
    from lakehouse_assets.landing.drain.produce import produce as send
    from lakehouse_assets.systems import catalog

    settings = load_settings()
    access = settings.kafka_access()
    topic = topic or settings.kafka_sources(catalog(settings.system_packages).feeds)[0].topic
    shares, counted, now = stream.Shares(duplicates, late, broken), stream.Counted(), datetime.now(UTC)
    # Without a rate, orders are spread over the time before now: none is of the future.
    step = timedelta(seconds=1 / rate) if rate else timedelta(milliseconds=10)
    began = now if rate else now - (count or 0) * step
    orders = stream.events(time.time_ns() // 1000 if seed is None else seed, shares, began, step, counted, count)
    with stopped_by_signals() as stopped:
        taken = send(Broker(access, topic), ([(e.key, e.value) for e in order] for order in orders), rate=rate, stopped=stopped)
    made = {"topic": topic, "orders": counted.orders, "records": taken, "lines": counted.lines.total()}
    made |= {"duplicates": counted.duplicates, "late": counted.late, "broken": dict(counted.broken)}
    if as_json:
        typer.echo(json.dumps(made))
        return
    say(", ".join(f"{name}: {value}" for name, value in made.items()))
