"""Whether settings, contracts and models are valid."""

import json

import typer

from lakehouse_assets.cli.options import Json
from lakehouse_assets.cli.output import say
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.settings import Settings, load_catalog, load_settings


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
        engine = Engine(settings.engine_config, say) if not setting_problems else None
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
    say("Settings, contracts and models are valid.")


def _sentence(problem: str) -> str:
    """Return a problem without its location and its suggestion."""
    return problem.split(": ", 2)[-1].split(" (did you mean")[0].rstrip(".")
