"""Alerts: try out the channels, see what is open, and tell now what is due."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from lakehouse_assets.cli.options import Json
from lakehouse_assets.cli.output import say, width
from lakehouse_assets.cli.preflight import preflight
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.settings import Settings, load_catalog, load_settings

if TYPE_CHECKING:
    from lakehouse_assets.alerts.alerter import Sent
    from lakehouse_assets.alerts.incidents import Found
    from lakehouse_assets.contracts.system import Catalog

alerts = typer.Typer(no_args_is_help=True, help="Tell people of what is wrong: Slack, Teams, e-mail, SNS and dozens of others.")

_NOBODY = "LAKEHOUSE_ALERT_URLS names no receiver. See docs/alerts.md."


@alerts.command("test")
def alerts_test(
    channel: Annotated[str | None, typer.Option(help="Only this channel, such as mailtos-1. Default: all.")] = None,
) -> None:
    """Send a test message to each channel. Exit code 1 if one does not take it."""
    from lakehouse_assets.alerts.alerter import send_all
    from lakehouse_assets.alerts.message import trial
    from lakehouse_assets.alerts.rounds import channels, footer_of

    settings = load_settings()
    known = channels(settings)
    if not known:
        raise SettingsError(_NOBODY)
    wanted = [c for c in known if channel in (None, c.wishes.name)]
    if not wanted:
        raise SettingsError(f"{channel!r} is not a channel. Known are: {', '.join(c.wishes.name for c in known)}.")
    message = trial(footer_of(settings), datetime.now(UTC))
    sent = send_all(wanted, {c.wishes.name: message for c in wanted})
    for outcome in sent:
        say(f"{outcome.channel}: taken" if outcome.error is None else f"error: {outcome.error}")
    if any(outcome.error is not None for outcome in sent):
        raise typer.Exit(1)


@alerts.command("show")
def alerts_show(as_json: Json = False) -> None:
    """List what is wrong now, and since when. Sends nothing. Exit code 1 if something is."""
    from lakehouse_assets.alerts.incidents import NOTES, TEXTS
    from lakehouse_assets.books.incidents import Incidents

    settings = preflight(load_settings())
    found = [i for i in _found(settings, load_catalog(settings)).incidents if i.kind not in NOTES]
    book = Incidents(settings.root).read()
    rows = []
    for incident in found:
        record = book.get(incident.key)
        is_open = record is not None and record.closed is None
        since = record.since if record is not None and is_open else incident.since
        told = [n.channel for n in record.notices if n.told == "open"] if record is not None and is_open else []
        rows.append((incident, since, told))
    if as_json:
        plain = [
            {
                "kind": incident.kind,
                "place": incident.place,
                "what": incident.what,
                "since": since.isoformat(timespec="seconds") if since else None,
                "to_do": TEXTS[incident.kind].to_do,
                "link": incident.link,
                "told": told,
            }
            for incident, since, told in rows
        ]
        typer.echo(json.dumps(plain))
    elif rows:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        shown = Table("incident", "where", "what", "since (UTC)", "told")
        for incident, since, told in rows:
            shown.add_row(
                TEXTS[incident.kind].title,
                escape(incident.place),
                escape(incident.what),
                f"{since:%Y-%m-%d %H:%M}" if since else "now",
                ", ".join(told),
            )
        Console(width=width()).print(shown)
    else:
        say("Nothing is wrong.")
    if rows:
        raise typer.Exit(1)


@alerts.command("send")
def alerts_send() -> None:
    """Tell the channels what is due, once: for a timer, without daemon or follower. Exit code 1 if one does not take it."""
    from lakehouse_assets.alerts.rounds import channels, take_round

    settings = load_settings()
    if not channels(settings):
        raise SettingsError(_NOBODY)
    declared = load_catalog(settings)
    say_sent(sent := take_round(settings, lambda now: _found(settings, declared, now)))
    if not sent:
        say("There is nothing to tell.")
    if any(outcome.error is not None for outcome in sent):
        raise typer.Exit(1)


def tell_after_pass(settings: Settings, declared: "Catalog", *, has_run: bool) -> None:
    """Tell what is due after a pass, if somebody is to be told. Without a run, Dagster is not asked: importing it takes long."""
    if not settings.lakehouse_alert_urls:
        return
    from lakehouse_assets.alerts.rounds import take_round
    from lakehouse_assets.alerts.state import found_in_books

    look = _found if has_run else found_in_books
    say_sent(take_round(settings, lambda now: look(settings, declared, now)))


@contextmanager
def told_if_unusable(settings: Settings) -> Iterator[None]:
    """Tell people, if somebody is to be told, that the block has found the store unusable."""
    try:
        yield
    except SettingsError as error:
        if settings.lakehouse_alert_urls:
            from lakehouse_assets.alerts.rounds import take_round

            say_sent(take_round(settings, partial(_raise, error)))
        raise


def _raise(error: SettingsError, now: datetime) -> NoReturn:
    raise error


def say_sent(sent: "list[Sent]") -> None:
    """Say what was sent, and what was not taken."""
    for outcome in sent:
        say(outcome.sentence)


def _found(settings: Settings, declared: "Catalog", now: datetime | None = None) -> "Found":
    """Return all incidents that there are, those of Dagster's history included."""
    from lakehouse_assets.definitions import build_definitions
    from lakehouse_assets.orchestration.alerts import Automation, found_now
    from lakehouse_assets.orchestration.instance import open_instance

    automation = Automation.of(build_definitions(settings, catalog=declared))
    with open_instance(settings.dagster_home, settings.root, settings.cache_folder) as instance:
        return found_now(settings, declared, instance, automation, now or datetime.now(UTC))
