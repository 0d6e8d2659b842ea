"""A round of alerts by the settings: whom to tell, how soon and how often, and what to do while the store can't be used."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from obstore.exceptions import BaseError

from lakehouse_assets.alerts.alerter import Sent, alert
from lakehouse_assets.alerts.channels import Channel, channels_of
from lakehouse_assets.alerts.incidents import Found, Incident, Kind
from lakehouse_assets.alerts.telling import Pace
from lakehouse_assets.books.incidents import Incidents
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.errors import store_error
from lakehouse_assets.store.root import Root

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the moment, in UTC."""
    return datetime.now(UTC)


def channels(settings: Settings) -> list[Channel]:
    """Return the channels of the settings; empty if nobody is to be told.

    Raises:
        SettingsError: an entry can't be meant.
    """
    urls = settings.lakehouse_alert_urls
    return channels_of(urls.get_secret_value(), settings.lakehouse_alert_aws_profile) if urls else []


def pace_of(settings: Settings) -> Pace:
    """Return how soon and how often the settings want things told."""
    hours = settings.lakehouse_alert_remind_hours
    return Pace(timedelta(seconds=settings.lakehouse_alert_settle_seconds), timedelta(hours=hours) if hours else None)


def footer_of(settings: Settings) -> str:
    """Return the end of each message: which lakehouse it is about, and where it is said what to do, if the docs are published."""
    docs = settings.lakehouse_docs_url
    return f"Lakehouse: {settings.root.uri}" + (f"\nWhat to do: {docs.rstrip('/')}/alerts.md" if docs else "")


def take_round(settings: Settings, look: Callable[[datetime], Found], clock: Clock = utc_now) -> list[Sent]:
    """Look for incidents, and tell the channels what is due. Returns what was sent, or was not taken. Without channels, does nothing.

    If the store can't be used, that itself is told, by a book on this machine.

    Raises:
        SettingsError: an entry of `LAKEHOUSE_ALERT_URLS` can't be meant.
    """
    receivers = channels(settings)
    if not receivers:
        return []
    pace, root, footer = pace_of(settings), settings.root, footer_of(settings)
    local = local_book(settings)
    away: tuple[Incident, ...] = ()
    sent: list[Sent] = []
    try:
        sent = alert(Incidents(root), receivers, look(clock()), pace, clock, footer)
    except Exception as error:
        told = store_error(root, error) or error
        if not isinstance(told, SettingsError | BaseError | OSError):
            raise
        what = str(told) if isinstance(told, SettingsError) else f"{type(told).__name__}; `lakehouse plan` shows the whole error."
        away = (Incident(Kind.store, root.uri, what),)
    if away or Path(local.root.uri).exists():
        sent += alert(local, receivers, Found(away, frozenset({Kind.store})), pace, clock, footer)
    return sent


def local_book(settings: Settings) -> Incidents:
    """Return the book on this machine that is used while the store can't be."""
    name = hashlib.sha256(settings.root.uri.encode()).hexdigest()[:16]
    return Incidents(Root(str(settings.cache_folder / "alerts" / name)))
