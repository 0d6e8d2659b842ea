"""The command line, `lakehouse`. Each command reads the settings, calls the module that does the work, and shows the result.

With `--json`, stdout gets one document and nothing else; progress and warnings go to stderr. A command imports heavy modules only
if it needs them, so a pass with nothing to do takes little more than Python's own start.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from lakehouse_assets.bundled import bundled
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import LakehouseError, LandingError, QueryError, SelectionError
from lakehouse_assets.hooks.process_end import end_process
from lakehouse_assets.settings import Settings, load_catalog, load_settings
from lakehouse_assets.store.errors import explained, store_error, unquoted
from lakehouse_assets.store.preflight import check_readable, check_there, check_writable

if TYPE_CHECKING:
    from types import FrameType

    from lakehouse_assets.contracts.system import Catalog
    from lakehouse_assets.orchestration.in_process import SyncResult
    from lakehouse_assets.reconcile.plan import Plan
    from lakehouse_assets.services.stack import Stack
    from lakehouse_assets.serving.changes import Changes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A retail lakehouse: from files as they arrive to a star schema, with every row accounted for.",
)

_COLLECTED_AFTER = 100_000
"""Python looks for garbage in cycles after so many new objects. After 700, the default, takes 5 % of a pass."""

services = typer.Typer(no_args_is_help=True, help="Run an object store, Kafka and PostgreSQL on this machine, without Docker.")
app.add_typer(services, name="services")

_SHOWN_DELIVERIES = 5

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


class Format(StrEnum):
    """How `query` shows its result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


class Order(StrEnum):
    """In which order `run` builds tables."""

    upstream_first = "upstream-first"
    downstream_first = "downstream-first"


class Stage(StrEnum):
    """A layer that sends rows to quarantine."""

    raw = "raw"
    silver = "silver"


class Store(StrEnum):
    """Which object store `services` runs."""

    minio = "minio"
    versitygw = "versitygw"


def main() -> NoReturn:
    """Run the command line. Errors that a user can fix become one sentence and exit code 1."""
    gc.set_threshold(_COLLECTED_AFTER)
    code: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except LakehouseError as error:
        code = _print_error(error)
    except Exception as error:
        reported = store_error(load_settings().root, error)
        if reported is None:
            raise
        code = _print_error(reported)
    end_process(code if isinstance(code, int) else int(code is not None))


@app.command()
def demo(
    systems: Annotated[str, typer.Option(metavar="S,S…|all", help="The systems whose sample data is landed.")] = "all",
) -> None:
    """Land the sample data and build it from landing to gold."""
    samples = _samples(systems)
    settings = _preflight(load_settings(), writes=True, creates=True)
    began = time.perf_counter()
    for feed, day, file in samples:
        _land_if_new(settings, feed, day, file)
    _say(f"{len(samples)} sample files are in {settings.root.path('landing')}.")

    declared = load_catalog(settings)
    result = _sync(settings, declared, _plan(settings, declared))
    if result is not None:
        _show_result(result)
    _say(f"Took {time.perf_counter() - began:.1f} s.")
    if result is not None and not result.succeeded:
        _say("\nThe demo failed: the last column says why. Once that is fixed, `lakehouse sync` continues from here.")
        raise typer.Exit(1)
    _say(
        "\nWhere to look next:\n"
        "  make dev              the Dagster UI at http://localhost:3000: the graph, checks, partitions\n"
        '  lakehouse query "SELECT * FROM gold.sales_performance ORDER BY usd_amount DESC LIMIT 10"\n'
        "  lakehouse quarantine  the rejected rows, and why"
    )


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder. Its name becomes the name of a Python package.")],
) -> None:
    """Create a project of your own: a source system, a gold model, a test, a Makefile."""
    from lakehouse_assets.new_project import lay_out

    for file in lay_out(folder):
        typer.echo(file)
    _say(f"\nNext: cd {folder} && make demo")


@app.command("new-source")
def new_source(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="The name of the system, such as shop.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Sample files. The name of a file says what it has: orders_2026-01-31.csv; or say so: orders=export.csv.",
        ),
    ],
) -> None:
    """Declare a source system from sample files: columns, types, keys, and as questions what the files leave open."""
    from lakehouse_assets.new_source.sample import MOST_ROWS, shell_words
    from lakehouse_assets.new_source.write import new_source as write

    made = write(system, files, load_settings().system_packages)
    typer.echo(made.file)
    for feed in made.feeds:
        _say(f"{feed.landing}: {len(feed.fields)} columns; tables: {', '.join(table.name for table in feed.tables)}.")
    for file in made.cut:
        _say(f"Of {file}, only the first {MOST_ROWS:,} rows were looked at, or fewer where they are long.")
    _say(f"\nNext: read the {made.questions} comments in it that begin with `# Question:`. Then\n  lakehouse check")
    for landing, samples in made.samples.items():
        _say(f"  lakehouse land {landing} {shell_words(samples)} --date {datetime.now(UTC):%Y-%m-%d}")
    _say("  lakehouse sync")


@app.command()
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

    options = Options(seed, scale, _date(first), _date(last), dirt)
    names = _chosen(systems, generator.system_names())
    settings = _preflight(load_settings(), writes=True, creates=True) if lands else None
    if settings is not None and options.first < settings.lakehouse_start_date:
        raise LandingError(f"--from {first} is before the first partition, LAKEHOUSE_START_DATE={settings.lakehouse_start_date}.")
    truth = generator.generate(folder, options, names)
    rows = sum(n for s in truth["systems"].values() for name, n in s["rows"].items() if name.startswith("raw."))
    _say(f"{rows:,} rows in {sum(s['files'] for s in truth['systems'].values()):,} files are in {folder}.")
    if settings is not None:
        from lakehouse_assets.landing.objects import Landing

        Landing(settings.root).put_alone(_deliveries(folder, names), settings.lakehouse_start_date)
        _say(f"They are in {settings.root.path('landing')}, too. Next: `lakehouse sync && lakehouse compare {folder}`")


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(help="What `lakehouse generate` wrote, and was landed and synced.")],
) -> None:
    """Compare the tables with the truth of generated data, and count the persons that were found. Exit code 1 if tables differ."""
    from lakehouse_assets.generate.generator import read_truth
    from lakehouse_assets.generate.persons import persons_found
    from lakehouse_assets.generate.truth import differences
    from lakehouse_assets.serving import query as serving

    truth = read_truth(folder)
    root = _preflight(load_settings()).root

    def query(sql: str) -> list[dict[str, Any]]:
        return serving.as_json(serving.query(root, sql))

    found = differences(truth, query)
    for difference in found:
        typer.echo(difference)
    if (persons := persons_found(truth, query)) is not None:
        for sentence in persons.sentences():
            _say(sentence)
    if found:
        raise typer.Exit(1)
    _say(f"All tables of {', '.join(truth)} are as {folder} says.")


@app.command()
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
    landing_date = _date(day)
    if landing_date < settings.lakehouse_start_date:
        raise LandingError(f"{day} is before the first partition, LAKEHOUSE_START_DATE={settings.lakehouse_start_date}.")
    missing = [str(f) for f in files if not f.is_file()]
    if missing:
        raise LandingError(f"No such file: {', '.join(missing)}. Nothing was landed.")
    for file in files:
        typer.echo(Landing(settings.root).put(feed, landing_date, file))


@app.command()
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
    _preflight(settings, writes=True, creates=True)
    limits = settings.drain_limits(follow=follow, records=records, seconds=seconds)
    with _stopped_by_signals() as stopped:
        done = drain_all(sources, Landing(settings.root), limits, _say, stopped)
    if as_json:
        typer.echo(json.dumps({"topics": [drained.to_json() for drained in done]}))
        return
    for drained in done:
        _say(drained.sentence)


@app.command()
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
    with _stopped_by_signals() as stopped:
        taken = send(Broker(access, topic), ([(e.key, e.value) for e in order] for order in orders), rate=rate, stopped=stopped)
    made = {"topic": topic, "orders": counted.orders, "records": taken, "lines": counted.lines.total()}
    made |= {"duplicates": counted.duplicates, "late": counted.late, "broken": dict(counted.broken)}
    if as_json:
        typer.echo(json.dumps(made))
        return
    _say(", ".join(f"{name}: {value}" for name, value in made.items()))


@app.command()
def accept(
    feed: Annotated[str, typer.Argument(metavar="SYSTEM/ENTITY", help="A feed of complete deliveries.")],
    day: Annotated[str, typer.Option("--date", help="The landing date of the delivery, YYYY-MM-DD.")],
) -> None:
    """Let a complete delivery delete the keys that it lacks, even if it is much smaller than the one before."""
    from lakehouse_assets.silver.deliveries import accept_delivery
    from lakehouse_assets.systems import catalog

    settings = _preflight(load_settings(), writes=True)
    complete = {f.landing: f for f in catalog(settings.system_packages).feeds if f.complete}
    if feed not in complete:
        known = f"Known are: {', '.join(sorted(complete))}." if complete else "There are none."
        raise LandingError(f"{feed!r} is not a feed of complete deliveries. {known}")
    accepted = accept_delivery(settings.root, complete[feed], _date(day))
    _say(f"Accepted: {accepted.rows:,} rows; {accepted.rows_before:,} before. `lakehouse sync` deletes the missing keys.")


@app.command()
def plan(
    diff: Annotated[
        bool, typer.Option(help="Build all tables anew on the side, and show how they differ from those that are live.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what `sync` would do: files, partitions, tables, schema changes, bytes. Changes nothing."""
    from lakehouse_assets.reconcile.plan import make_plan

    settings = _preflight(load_settings())
    if diff:
        _show_diff(settings, as_json=as_json)
        return
    made = make_plan(settings, load_catalog(settings), read_headers=True, now=datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(made.to_json()))
    else:
        _show_plan(settings, made)


@app.command()
def check(as_json: Json = False) -> None:
    """List all problems of settings, contracts and models. Builds nothing. Exit code 1 if there are any."""
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.silver.transform import contract_faults
    from lakehouse_assets.systems import load_systems

    setting_problems: list[str] = []
    try:
        settings = load_settings()
    except LakehouseError as error:
        settings, setting_problems = Settings.model_construct(), [str(error)]
    systems, problems = load_systems(settings.system_packages)
    silver = [table for system in systems for table in system.tables]
    tables = {table.name for table in silver}
    is_complete = not problems  # otherwise a table may be missing only because its system can't be loaded
    try:
        if is_complete:
            load_catalog(settings)
        models = settings.gold_project.models()
        unknown = [(m, name) for m in models for name in sorted(m.required) if is_complete and name not in tables]
        problems += [f"{m.folder}/{m.name}.sql: {name!r} is not a silver table{nearest(name, tables)}." for m, name in unknown]
    except LakehouseError as error:
        problems.append(" ".join(str(error).split()))
    problems += setting_problems
    try:
        engine = Engine(settings.engine_config, _say) if not setting_problems else None
        # Don't report again what loading the contracts has found.
        known = {_sentence(problem) for problem in problems}
        if engine is not None:
            faults = [fault for table in silver for fault in contract_faults(engine.session(), table)]
            problems += [fault for fault in faults if _sentence(fault) not in known]
            engine.stop_session()
    except LakehouseError as error:
        problems.append(str(error))
    if as_json:
        typer.echo(json.dumps({"succeeded": not problems, "problems": problems}))
    for problem in () if as_json else problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    _say("Settings, contracts and models are valid.")


def _sentence(problem: str) -> str:
    """Return a problem without its location and its suggestion."""
    return problem.split(": ", 2)[-1].split(" (did you mean")[0].rstrip(".")


@app.command()
def sync(
    as_json: Json = False,
    stays: Annotated[
        bool, typer.Option("--follow", help="Stay, and take a pass whenever something lands. With --json, one line each.")
    ] = False,
) -> None:
    """Bring all tables up to date with landing, in one pass. Exit code 1 if a partition failed; the others are still built."""
    if stays:
        _follow(as_json=as_json)
        return
    from lakehouse_assets.silver.deliveries import held_deliveries

    settings = _preflight(load_settings(), writes=True)
    declared = load_catalog(settings)
    planned = _plan(settings, declared)
    result = _sync(settings, declared, planned)
    held = held_deliveries(settings.root, declared.feeds)
    if as_json:
        nothing: dict[str, Any] = {"succeeded": True, "tables": [], "failed_checks": [], "runs": [], "seconds": {}, "waiting": []}
        not_loaded = {"ignored": planned.to_json()["ignored"], "held": [delivery.to_json() for delivery in held]}
        typer.echo(json.dumps({**(result.to_json() if result else nothing), **not_loaded}))
    elif result is not None:
        _show_result(result)
    for delivery in () if as_json else held:
        _say(f"held back: {delivery.sentence}")
    if result is not None and not result.succeeded:
        raise typer.Exit(1)


@app.command()
def run(
    selection: Annotated[
        str,
        typer.Argument(
            metavar="SELECTION",
            help="Tables in Dagster's syntax: crm_sales, +crm_sales, silver/crm_sales+, silver, crm, tag:layer=silver, '*'.",
        ),
    ],
    dates: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="Landing dates: 2026-01-31, 2026-01-01..2026-01-31, or several, separated by commas."),
    ] = None,
    order: Annotated[
        Order, typer.Option(help="Whether a table comes after those that it reads, or before.")
    ] = Order.upstream_first,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin nothing more after a failure.")] = False,
    as_json: Json = False,
) -> None:
    """Build some tables, for some dates or all. Exit code 1 if a table failed; what does not depend on it is still built."""
    settings = _preflight(load_settings(), writes=True)
    wanted = None if dates is None else _days(dates, settings)
    declared = load_catalog(settings)
    from lakehouse_assets.definitions import build_definitions
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.gold.dbt_ahead import loaded_ahead
    from lakehouse_assets.orchestration.run import Request
    from lakehouse_assets.orchestration.run import run as run_request
    from lakehouse_assets.orchestration.selection import selected

    engine = Engine(settings.engine_config, _say)
    definitions = build_definitions(settings, catalog=declared, engine=engine)
    keys = selected(selection, definitions, declared.systems)
    layers = {layer for layer, _ in keys}
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as resources:
        resources.callback(engine.stop_session)
        if "silver" in layers and settings.lakehouse_parallel_runs == 1:
            engine.start_in_background()
        if "gold" in layers:
            resources.enter_context(loaded_ahead(settings.gold_project.folders))
        log = resources.enter_context((settings.dagster_home / "sync.log").open("a"))
        resources.enter_context(redirect_stdout(log))
        request = Request(tuple(keys), wanted, downstream_first=order is Order.downstream_first, fail_fast=fail_fast)
        result = run_request(settings, declared, definitions, request, _say)
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    elif result.tables:
        _show_result(result)
        _show_skipped(result)
    if not result.succeeded:
        raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(help="One SELECT over the schemas raw, silver, gold, quarantine, superseded, ops.", show_default=False),
    ] = "",
    output: Annotated[Format, typer.Option("--format", help="How to show the result.")] = Format.table,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="V|T|PASS", help="The state of a version (12), a date or time (2026-01-31T14:30), or a pass (pass:7)."
        ),
    ] = None,
    changes: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="What changed in a table, such as gold.dim_customer; SQL may read it as ops.changes."),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="For --changes: two states as of --as-of; by default the last two versions."),
    ] = None,
) -> None:
    """Query the tables in DuckDB's SQL. Read-only: no files, no network."""
    import duckdb

    from lakehouse_assets.serving import query as serving
    from lakehouse_assets.serving.versions import parse_as_of

    settings = load_settings()
    wanted = _changes(settings, changes, between)
    if not sql and wanted is None:
        raise QueryError('Write a query, such as "FROM gold.sales_performance", or name a table with --changes.')
    dated = parse_as_of(as_of, settings.lakehouse_timezone) if as_of else None
    root = _preflight(settings).root
    result = serving.query(root, sql or "FROM ops.changes", dated, wanted, _say)
    try:
        if output is Format.table:
            result.show(max_rows=1000, max_width=_width())
        elif output is Format.parquet:
            if sys.stdout.isatty():
                raise QueryError(
                    "Parquet is binary: redirect it to a file, `lakehouse query … --format parquet > result.parquet`."
                )
            import pyarrow.parquet

            pyarrow.parquet.write_table(result.to_arrow_table(), sys.stdout.buffer)
        elif output is Format.csv:
            serving.write_csv(result, sys.stdout)
        else:
            typer.echo(json.dumps(serving.as_json(result)))
    except duckdb.Error as error:
        raise QueryError(unquoted(root, str(error))) from None


def _changes(settings: Settings, table: str | None, between: str | None) -> "Changes | None":
    """Return what `--changes` and `--between` ask for, with the key of the table."""
    from lakehouse_assets.serving.changes import key_of, parse_changes
    from lakehouse_assets.systems import catalog

    if table is None:
        if between is not None:
            raise QueryError("--between belongs to --changes TABLE, which names the table whose states are compared.")
        return None
    parsed = parse_changes(table, between, settings.lakehouse_timezone)
    dbt_manifest = settings.gold_project.manifest() if parsed.layer == "gold" else {}
    return replace(parsed, key=key_of(parsed.layer, parsed.name, catalog(settings.system_packages), dbt_manifest))


@app.command()
def quarantine(
    layer: Annotated[Stage | None, typer.Option(help="Only rows rejected by this layer.")] = None,
    table: Annotated[str | None, typer.Option(help="Only this table, such as crm_customers.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="Only this landing date, YYYY-MM-DD.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="Only this landing date and later ones.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Only this landing date and earlier ones.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that broke this rule.")] = None,
    file: Annotated[str | None, typer.Option(help="Only rows of landing files of this name.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="How many rows of each kind to show.")] = 3,
    export: Annotated[
        Path | None, typer.Option(help="Write all rows to this file instead: .csv, .parquet or .json.", dir_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --export overwrite a file.")] = False,
    as_json: Json = False,
) -> None:
    """Show the rejected rows: reasons, counts, samples. Or export all of them to a file."""
    from lakehouse_assets.serving import quarantine as serving
    from lakehouse_assets.systems import catalog

    begin, end = _range(day, first, last)
    choice = serving.Choice(layer=layer, table=table, first=begin, last=end, rule=rule, file=file)
    settings = _preflight(load_settings())
    root, declared = settings.root, catalog(settings.system_packages)
    if export is not None:
        rows = serving.export(root, declared, choice, export, overwrite=force)
        _say(f"{rows} rows are in {export}.")
        if as_json:
            typer.echo(json.dumps({"file": str(export), "rows": rows}))
        return
    groups = serving.quarantined(root, declared, choice, samples)
    if as_json:
        typer.echo(json.dumps(groups, default=str))
        return
    if not groups:
        _say("The quarantine is empty." if choice == serving.Choice() else "No such row is in quarantine.")
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table("table", "date", "rule", "reason", "rows", "file", "row", "original text")
    nothing: dict[str, Any] = {"source_file": "", "row_number": None, "item_number": 0, "payload": None}
    for group in groups:
        for index, sample in enumerate(group["samples"] or [nothing]):
            first_cells = [
                f"{group['layer']}.{group['table_name']}",
                str(group["date"]),
                group["rule"],
                group["reason"],
                str(group["rows"]),
            ]
            shown.add_row(
                *(first_cells if index == 0 else [""] * 5),
                sample["source_file"],
                str(sample["row_number"] or "") + (f", item {sample['item_number']}" if sample["item_number"] else ""),
                (sample["payload"] or "")[:120],
            )
    Console(width=_width()).print(shown)


@app.command()
def maintain(
    keep_days: Annotated[
        int, typer.Option(min=1, help="Keep files this many days after they left a table: queries and runs may still read them.")
    ] = 7,
) -> None:
    """Compact small files, delete unreferenced ones, shorten logs, delete old runs. Needs the right to delete."""
    from lakehouse_assets.upkeep.maintain import maintain as run

    settings = _preflight(load_settings())
    try:
        with explained(settings.root, "delete"):
            for table in run(settings.root, timedelta(days=keep_days)):
                _say(
                    f"{table.name}: {table.files_before} files compacted to {table.files_after}; {table.deleted} old ones deleted"
                )
    finally:
        _delete_old_runs(settings)


@services.command("up")
def services_up(
    store: Annotated[Store | None, typer.Option(help="Which object store. Default: the one used before, or MinIO.")] = None,
) -> None:
    """Start the services that don't run. Programs that the machine lacks are built or downloaded once."""
    _stack(load_settings()).up(_say, store.value if store else None)
    _say("To use them: `lakehouse services env >> .env`. Without `>> .env`, it only shows the settings.")


@services.command("down")
def services_down() -> None:
    """Stop the services. Their data is kept."""
    _stack(load_settings()).down(_say)


@services.command("status")
def services_status() -> None:
    """Show whether the services run and answer. Exit code 1 if one does not."""
    from rich.console import Console
    from rich.table import Table

    services = _stack(load_settings()).status()
    shown = Table("service", "state", "address", "process", "log")
    for s in services:
        shown.add_row(s.name, s.state, s.address, str(s.pid or ""), str(s.log))
    Console(width=_width()).print(shown)
    if not services or any(s.state != "running" for s in services):
        raise typer.Exit(1)


@services.command("env")
def services_env() -> None:
    """Print the settings to use the services, as KEY=value lines. They include passwords."""
    for name, value in _stack(load_settings()).environment().items():
        typer.echo(f"{name}={value}")


def _stack(settings: Settings) -> "Stack":
    from lakehouse_assets.services.stack import Stack

    return Stack(settings.services_folder, settings.cache_folder)


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Yield whether a signal to end has come: the first ends what is under way in order, the second at once."""
    came = threading.Event()

    def note(number: int, frame: "FrameType | None") -> None:
        if came.is_set():
            signal.default_int_handler(number, frame)
        came.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _preflight(settings: Settings, *, writes: bool = False, creates: bool = False) -> Settings:
    """Check that the root can be used, and return the settings. The root may be missing only if the command `creates` it."""
    if not creates:
        check_there(settings.root)
    check_readable(settings.root)
    if writes:
        check_writable(settings.root)
    return settings


def _delete_old_runs(settings: Settings) -> None:
    from lakehouse_assets.orchestration.instance import open_instance
    from lakehouse_assets.orchestration.run_history import purge_runs

    days = settings.lakehouse_keep_runs_days
    with open_instance(settings.dagster_home, settings.root) as instance:
        purged = purge_runs(instance, datetime.now(UTC) - timedelta(days=days))
    _say(f"Dagster: {purged.runs} runs older than {days} days deleted, and the logs of {purged.logs} that assets still need")


def _plan(settings: Settings, declared: "Catalog") -> "Plan":
    from lakehouse_assets.reconcile.plan import make_plan

    return make_plan(settings, declared)


def _sync(settings: Settings, declared: "Catalog", planned: "Plan") -> "SyncResult | None":
    """Execute the plan. Returns None if there is nothing to do."""
    for path, reason in planned.ignored:
        _say(f"warning: {path} is not loaded: {reason}.")
    if planned.is_empty:
        _say_nothing_to_do(settings)
        return None
    if planned.rebuilt:
        _say(planned.rebuilt)
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.gold.dbt_ahead import loaded_ahead

    engine = Engine(settings.engine_config, _say)
    with ExitStack() as resources:
        resources.callback(engine.stop_session)
        # Both start now, while this process is busy importing Dagster.
        if planned.of_layers("silver"):
            engine.start_in_background()
        if planned.of_layers("gold"):
            resources.enter_context(loaded_ahead(settings.gold_project.folders))
        from lakehouse_assets.definitions import build_definitions
        from lakehouse_assets.orchestration.sync import sync as run_sync

        settings.dagster_home.mkdir(parents=True, exist_ok=True)
        # dbt's output goes to a file: stdout is for the result.
        with (settings.dagster_home / "sync.log").open("a") as log, redirect_stdout(log):
            return run_sync(settings, declared, planned, build_definitions(settings, catalog=declared, engine=engine), _say)


def _follow(*, as_json: bool) -> None:
    """Take passes until a signal: the first ends the process after the step in hand, the second at once.

    If the code has changed and a new process can load it, this one becomes that one. Until it can, no pass is made: one with the code
    from before would build what the next one builds again.
    """
    given = dict(os.environ)
    settings = _preflight(load_settings(), writes=True)
    declared = load_catalog(settings)
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.gold.dbt_ahead import loaded_ahead
    from lakehouse_assets.orchestration.loaded_code import code_state, start_again, why_it_cannot_start

    out = sys.stdout
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(128 + number)  # nothing is lost: the next pass finds what is left to do
        stop.set()
        _say("Ending after the step in hand. A second signal ends it at once.")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    engine = Engine(settings.engine_config, _say)
    with ExitStack() as resources:
        resources.callback(engine.stop_session)
        engine.start_in_background()
        resources.enter_context(loaded_ahead(settings.gold_project.folders))
        from lakehouse_assets.definitions import build_definitions
        from lakehouse_assets.orchestration.follow import Ending, Follower, PassReport
        from lakehouse_assets.orchestration.instance import open_instance

        def report(done: PassReport) -> None:
            if as_json:
                typer.echo(json.dumps(done.to_json()), file=out)
            else:
                typer.echo(done.sentence(), file=out)
            out.flush()

        settings.dagster_home.mkdir(parents=True, exist_ok=True)
        log = resources.enter_context((settings.dagster_home / "sync.log").open("a"))
        resources.enter_context(redirect_stdout(log))
        instance = resources.enter_context(open_instance(settings.dagster_home, settings.root, settings.cache_folder))
        definitions = build_definitions(settings, catalog=declared, engine=engine)
        follower = Follower(settings, declared, definitions, instance, stop, _say, report)
        _say(f"Following {settings.root.path('landing')}. Ctrl+C ends it.")
        # In a thread of its own: Dagster replaces the handlers of signals while a run is in the main one.
        with ThreadPoolExecutor(1, "follow") as pool:
            ending = pool.submit(follower.follow).result()
    if ending is Ending.grown:
        _say("Starting again, to give memory back.")
    elif ending is Ending.changed:
        _say("The code, the dbt project or .env has changed: starting again.")
        while not stop.is_set():
            tried = code_state(settings)  # before: what changes meanwhile is tried next
            if (why := why_it_cannot_start(given)) is None:
                break
            _say(f"It can't be started, so no pass is made until it changes: {why}")
            while not stop.wait(1) and code_state(settings) == tried:
                pass
    if ending is not Ending.stopped and not stop.is_set():
        start_again(sys.argv[1:], given)


def _chosen(systems: str, known: list[str]) -> list[str]:
    """Return the names in an option `S,S…|all`. Some may not be known."""
    return known if systems == "all" else [name.strip() for name in systems.split(",")]


def _samples(systems: str) -> list[tuple[str, date, Path]]:
    """Return the sample files of some systems, each with its feed and landing date."""
    folder = bundled("sample_data")
    known = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    wanted = _chosen(systems, known)
    for name in wanted:
        if name not in known:
            raise LandingError(f"There is no sample data of {name!r}{nearest(name, known)}. There is some of {', '.join(known)}.")
    return _deliveries(folder, wanted)


def _deliveries(folder: Path, systems: Sequence[str]) -> list[tuple[str, date, Path]]:
    """Return the files of some systems in a folder that is laid out as landing, each with its feed and landing date."""
    files = sorted(file for name in systems for file in folder.glob(f"{name}/*/*/*"))
    return [("/".join(file.parts[-4:-2]), date.fromisoformat(file.parts[-2]), file) for file in files]


def _land_if_new(settings: Settings, feed: str, day: date, file: Path) -> None:
    """Put a sample file into landing unless it is there already: a new upload of the same bytes would only be read again.

    Samples don't change, so a file of the same name and size is the same.
    """
    from lakehouse_assets.landing.objects import Landing

    landing = Landing(settings.root)
    if landing.size(feed, day, file.name) != file.stat().st_size:
        landing.put(feed, day, file)


def _show_plan(settings: Settings, planned: "Plan") -> None:
    if planned.is_empty:
        _say_nothing_to_do(settings)
    for path, reason in planned.ignored:
        _say(f"not loaded: {path}: {reason}")
    for delivery in planned.held:
        _say(f"held back: {delivery.sentence}")
    _show_arrivals(planned)
    if planned.is_empty:
        return
    if planned.rebuilt:
        _say(planned.rebuilt)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from lakehouse_assets.landing.objects import shown

    console = Console(width=_width())
    files = Table("file", "table", "date", "change", "bytes", "schema", title="Files")
    for f in planned.files:
        schema = [f"new {c}" for c in f.new_columns] + [f"lacks {c}" for c in f.missing_columns]
        files.add_row(escape(shown(f.name)), f.table, str(f.date), f.change, f"{f.bytes:,}", ", ".join(schema))
    tables = Table("layer", "table", "partitions", "from", "to", title="Tables")
    for t in planned.tables:
        tables.add_row(t.layer, t.table, str(len(t.dates)), str(t.dates[0]), str(t.dates[-1]))
    if planned.files:
        console.print(files)
    console.print(tables)


def _show_diff(settings: Settings, *, as_json: bool) -> None:
    """Show what a trial of the current code shows. Exit code 1 if a table could not be built."""
    from lakehouse_assets.orchestration.trial import try_out

    trial = try_out(settings, load_catalog(settings), _say)
    if as_json:
        typer.echo(json.dumps(trial.to_json()))
    for error in () if as_json else trial.errors:
        _say(f"not compared: {error}")
    differing = [t for t in trial.tables if t.differs]
    if not as_json and differing:
        from rich.console import Console
        from rich.table import Table

        rows = Table("table", "added", "gone", "changed", "columns that change", title="Rows that would differ")
        totals = Table("amount", "live", "would be", "moves by", title="Totals that would move")
        for t in differing:
            columns = {"live": "the table would be gone", "trial": "a new table"}.get(t.only or "") or ", ".join(
                f"{name} ({count:,})" for name, count in t.columns.items()
            )
            rows.add_row(f"{t.layer}.{t.table}", f"{t.added:,}", f"{t.gone:,}", f"{t.changed:,}", columns)
            for name, (was, now) in t.totals.items():
                shown = ["-" if value is None else f"{value:,.2f}" for value in (was, now)]
                totals.add_row(f"{t.layer}.{t.table}.{name}", *shown, f"{(now or 0) - (was or 0):+,.2f}")
        console = Console(width=_width())
        console.print(rows)
        if totals.row_count:
            console.print(totals)
    if not differing:
        _say(f"No row would differ: {len(trial.tables)} tables were compared.")
    if trial.errors:
        raise typer.Exit(1)


def _show_arrivals(planned: "Plan") -> None:
    """Answer whether everything has arrived, if a feed says what is to arrive. Of each feed and state, show the newest."""
    found = planned.arrivals
    if found is None or not found.feeds:
        return
    if found.complete:
        _say(f"Everything has arrived, as of {found.as_of:%Y-%m-%d %H:%M} UTC: {', '.join(found.feeds)}.")
    kinds: dict[tuple[str, str], list[str]] = {}
    for delivery in reversed(found.outstanding):
        kinds.setdefault((delivery.feed, delivery.state), []).append(delivery.sentence)
    for (feed, state), sentences in sorted(kinds.items()):
        for sentence in sentences[:_SHOWN_DELIVERIES]:
            _say(f"{state}: {sentence}")
        if len(sentences) > _SHOWN_DELIVERIES:
            _say(f"{state}: {feed}, and {len(sentences) - _SHOWN_DELIVERIES} earlier ones; `lakehouse plan --json` lists all.")


def _show_result(result: "SyncResult") -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("table", "rows", "quarantined", "seconds", "")
    for t in result.tables:
        shown.add_row(
            f"{t.layer}.{t.table}",
            f"{t.rows:,}",
            f"{t.quarantined:,}" if t.quarantined else "",
            f"{t.seconds:.2f}",
            t.error or "",
        )
    Console(width=_width()).print(shown)
    for failed in result.failed_checks:
        _say(f"check failed: {failed}")


def _show_skipped(result: "SyncResult") -> None:
    """Say for each table that failed which others were skipped because of it."""
    by_cause: dict[str, list[str]] = {}
    for table in result.tables:
        for cause in table.skipped_because:
            by_cause.setdefault(cause, []).append(f"{table.layer}/{table.table}")
    for cause, skipped in by_cause.items():
        _say(f"Because {cause} failed, {len(skipped)} skipped: {', '.join(skipped)}.")


def _days(text: str, settings: Settings) -> tuple[date, ...]:
    """Return the dates of an option such as `2026-01-01..2026-01-31,2026-02-14`, each once, in order."""
    days: set[date] = set()
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        begin, end = _date(first), _date(last if dots else first)
        if begin > end:
            raise SelectionError(f"--dates {part.strip()}: the first date is after the last.")
        if begin < settings.lakehouse_start_date or end > datetime.now(UTC).date():
            raise SelectionError(
                f"--dates {part.strip()}: partitions begin with LAKEHOUSE_START_DATE={settings.lakehouse_start_date} and end today."
            )
        days |= {begin + timedelta(days=n) for n in range((end - begin).days + 1)}
    return tuple(sorted(days))


def _range(day: str | None, first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """Return the first and last date that the options ask for."""
    if day is not None and (first is not None or last is not None):
        raise QueryError("--date names one date, --from and --to name a range. Use one or the other.")
    begin, end = (_date(text) if text else None for text in ((day, day) if day else (first, last)))
    if begin and end and begin > end:
        raise QueryError(f"--from {begin} is after --to {end}.")
    return begin, end


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise LandingError(f"{text!r} is not a date: write it as YYYY-MM-DD.") from None


def _width() -> int | None:
    return None if sys.stdout.isatty() else 160


def _say_nothing_to_do(settings: Settings) -> None:
    """Say that there is nothing to do. If landing is empty, name it: the root may be the wrong one."""
    from lakehouse_assets.landing.store import landing_store

    if landing_store(settings.root).folders("landing/"):
        _say("Nothing to do: all tables are up to date with landing.")
    else:
        _say(f"Nothing to do: nothing has landed in {settings.root.path('landing')}.")


def _print_error(error: LakehouseError) -> int:
    typer.secho(f"error: {error}", fg="red", err=True)
    return 1


def _say(text: str) -> None:
    typer.echo(text, err=True)


if __name__ == "__main__":
    main()
