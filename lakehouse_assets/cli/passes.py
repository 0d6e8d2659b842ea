"""What builds tables: a pass over all of them, some of them, and what a pass would do."""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse_assets.bundled import bundled
from lakehouse_assets.cli.landing import deliveries, land_if_new
from lakehouse_assets.cli.options import Json, chosen, dates_of
from lakehouse_assets.cli.output import say
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.cli.rendering import say_nothing_to_do, show_plan, show_result, show_skipped, show_trial
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import LandingError
from lakehouse_assets.settings import Settings, load_catalog, load_settings

if TYPE_CHECKING:
    from lakehouse_assets.contracts.system import Catalog
    from lakehouse_assets.orchestration.in_process import SyncResult
    from lakehouse_assets.reconcile.plan import Plan


class Order(StrEnum):
    """In which order `run` builds tables."""

    upstream_first = "upstream-first"
    downstream_first = "downstream-first"


def demo(
    systems: Annotated[str, typer.Option(metavar="S,S…|all", help="The systems whose sample data is landed.")] = "all",
) -> None:
    """Land the sample data and build it from landing to gold."""
    samples = _samples(systems)
    settings = preflight(load_settings(), writes=True, creates=True)
    began = time.perf_counter()
    for feed, day, file in samples:
        land_if_new(settings, feed, day, file)
    say(f"{len(samples)} sample files are in {settings.root.path('landing')}.")

    declared = load_catalog(settings)
    result = _sync(settings, declared, _plan(settings, declared))
    if result is not None:
        show_result(result)
    say(f"Took {time.perf_counter() - began:.1f} s.")
    if result is not None and not result.succeeded:
        say("\nThe demo failed: the last column says why. Once that is fixed, `lakehouse sync` continues from here.")
        raise typer.Exit(1)
    say(
        "\nWhere to look next:\n"
        "  make dev              the Dagster UI at http://localhost:3000: the graph, checks, partitions\n"
        '  lakehouse query "SELECT * FROM gold.sales_performance ORDER BY usd_amount DESC LIMIT 10"\n'
        "  lakehouse quarantine  the rejected rows, and why"
    )


def plan(
    diff: Annotated[
        bool, typer.Option(help="Build all tables anew on the side, and show how they differ from those that are live.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what `sync` would do: files, partitions, tables, schema changes, bytes. Changes nothing."""
    from lakehouse_assets.reconcile.plan import make_plan

    settings = preflight(load_settings())
    if diff:
        from lakehouse_assets.orchestration.trial import try_out

        trial = try_out(settings, load_catalog(settings), say)
        show_trial(trial, as_json=as_json)
        if trial.errors:
            raise typer.Exit(1)
        return
    made = make_plan(settings, load_catalog(settings), read_headers=True, now=datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(made.to_json()))
    else:
        show_plan(settings, made)


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

    settings = preflight(load_settings(), writes=True)
    declared = load_catalog(settings)
    planned = _plan(settings, declared)
    result = _sync(settings, declared, planned)
    held = held_deliveries(settings.root, declared.feeds)
    if as_json:
        nothing: dict[str, Any] = {"succeeded": True, "tables": [], "failed_checks": [], "runs": [], "seconds": {}, "waiting": []}
        not_loaded = {"ignored": planned.to_json()["ignored"], "held": [delivery.to_json() for delivery in held]}
        typer.echo(json.dumps({**(result.to_json() if result else nothing), **not_loaded}))
    elif result is not None:
        show_result(result)
    for delivery in () if as_json else held:
        say(f"held back: {delivery.sentence}")
    if result is not None and not result.succeeded:
        raise typer.Exit(1)


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
    settings = preflight(load_settings(), writes=True)
    wanted = None if dates is None else dates_of(dates, settings)
    declared = load_catalog(settings)
    from lakehouse_assets.definitions import build_definitions
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.gold.dbt_ahead import loaded_ahead
    from lakehouse_assets.orchestration.run import Request
    from lakehouse_assets.orchestration.run import run as run_request
    from lakehouse_assets.orchestration.selection import selected

    engine = Engine(settings.engine_config, say)
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
        result = run_request(settings, declared, definitions, request, say)
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    elif result.tables:
        show_result(result)
        show_skipped(result)
    if not result.succeeded:
        raise typer.Exit(1)


def _plan(settings: Settings, declared: "Catalog") -> "Plan":
    from lakehouse_assets.reconcile.plan import make_plan

    return make_plan(settings, declared)


def _sync(settings: Settings, declared: "Catalog", planned: "Plan") -> "SyncResult | None":
    """Execute the plan. Returns None if there is nothing to do."""
    for path, reason in planned.ignored:
        say(f"warning: {path} is not loaded: {reason}.")
    if planned.is_empty:
        say_nothing_to_do(settings)
        return None
    if planned.rebuilt:
        say(planned.rebuilt)
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.gold.dbt_ahead import loaded_ahead

    engine = Engine(settings.engine_config, say)
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
            return run_sync(settings, declared, planned, build_definitions(settings, catalog=declared, engine=engine), say)


def _follow(*, as_json: bool) -> None:
    """Take passes until a signal: the first ends the process after the step in hand, the second at once.

    If the code has changed and a new process can load it, this one becomes that one. Until it can, no pass is made: one with the code
    from before would build what the next one builds again.
    """
    given = dict(os.environ)
    settings = preflight(load_settings(), writes=True)
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
        say("Ending after the step in hand. A second signal ends it at once.")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    engine = Engine(settings.engine_config, say)
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
        follower = Follower(settings, declared, definitions, instance, stop, say, report)
        say(f"Following {settings.root.path('landing')}. Ctrl+C ends it.")
        # In a thread of its own: Dagster replaces the handlers of signals while a run is in the main one.
        with ThreadPoolExecutor(1, "follow") as pool:
            ending = pool.submit(follower.follow).result()
    if ending is Ending.grown:
        say("Starting again, to give memory back.")
    elif ending is Ending.changed:
        say("The code, the dbt project or .env has changed: starting again.")
        while not stop.is_set():
            tried = code_state(settings)  # before: what changes meanwhile is tried next
            if (why := why_it_cannot_start(given)) is None:
                break
            say(f"It can't be started, so no pass is made until it changes: {why}")
            while not stop.wait(1) and code_state(settings) == tried:
                pass
    if ending is not Ending.stopped and not stop.is_set():
        start_again(sys.argv[1:], given)


def _samples(systems: str) -> list[tuple[str, date, Path]]:
    """Return the sample files of some systems, each with its feed and landing date."""
    folder = bundled("sample_data")
    known = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    wanted = chosen(systems, known)
    for name in wanted:
        if name not in known:
            raise LandingError(f"There is no sample data of {name!r}{nearest(name, known)}. There is some of {', '.join(known)}.")
    return deliveries(folder, wanted)
