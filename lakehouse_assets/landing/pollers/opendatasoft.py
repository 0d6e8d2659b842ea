"""Fetches a data set by Opendatasoft's Explore API v2.1, page by page.

The API (https://help.opendatasoft.com/apis/ods-explore-v2/explore_v2.1.html) answers `{"total_count": n, "results": [...]}`. It takes
a `limit` of up to 100, and refuses an `offset` and `limit` of more than 10,000 together.
"""

import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from lakehouse_assets.contracts.polls import OpendatasoftPoll
from lakehouse_assets.errors import PollError, SettingsError
from lakehouse_assets.landing.pollers.client import Client, Limits

_PAGE = 100
_MOST_RECORDS = 10_000

_HEADERS = {"Accept": "application/json", "User-Agent": "lakehouse-assets"}

_READINGS = 3
"""How often a data set is read from the beginning if its number of records changes meanwhile."""


@dataclass(frozen=True)
class Portal:
    """Where a portal is, and the key that it wants."""

    url: httpx.URL
    key: str | None = field(repr=False)

    @classmethod
    def of(cls, poll: OpendatasoftPoll) -> "Portal":
        """Read the portal's settings from the environment.

        Raises:
            SettingsError: it has no address, or one that is not `https://host`. The text leaves the address out, because it may
                hold a secret.
        """
        setting = f"{poll.setting}_URL"
        address = os.environ.get(setting) or poll.url
        if not address:
            raise SettingsError(f"{setting} is not set: it is the address of the portal with the data set {poll.dataset}.")
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise SettingsError(
                f"{setting}: write the portal's address as https://host, without user, password or query. "
                f"A key goes into {poll.setting}_API_KEY."
            )
        return cls(url, os.environ.get(f"{poll.setting}_API_KEY") or None)

    def client(self, poll: OpendatasoftPoll) -> Client:
        """Return a client for one poll. The caller closes its `http`."""
        http = httpx.Client(
            base_url=self.url.join(f"{self.url.path.rstrip('/')}/api/explore/v2.1/"),
            # In a header, not in the query: addresses are logged.
            headers=_HEADERS | ({"Authorization": f"Apikey {self.key}"} if self.key else {}),
            timeout=poll.request_seconds,
        )
        limits = Limits(poll.request_seconds, poll.seconds, poll.requests, poll.attempts)
        return Client(f"{poll.dataset} at {self.url.host}", http, limits)


@dataclass(frozen=True)
class Answers:
    """What a portal has answered: the pages as they came, the records in them, and how many requests it took."""

    pages: list[bytes]
    records: int
    requests: int


def fetch(poll: OpendatasoftPoll) -> Answers:
    """Fetch all records of a data set, or none.

    Raises:
        PollError: the portal can't be read within the poll's limits, has no record, or has too many for this API.
        SettingsError: the portal has no address, or a wrong one.
    """
    client = Portal.of(poll).client(poll)
    with client.http:
        for _ in range(_READINGS):
            if (pages := _read_through(client, poll)) is not None:
                return Answers([page for page, _ in pages], sum(records for _, records in pages), client.requests)
    raise PollError(f"{client.name} changes while it is read, {_READINGS} times in a row; nothing was landed.")


def _read_through(client: Client, poll: OpendatasoftPoll) -> list[tuple[bytes, int]] | None:
    """Return the pages and how many records each has; None if the data set has changed meanwhile, so that pages don't fit together."""
    pages: list[tuple[bytes, int]] = []
    read, total = 0, 1
    while read < total:
        params: dict[str, str | int] = {"limit": min(_PAGE, _MOST_RECORDS - read), "offset": read, "order_by": poll.order_by}
        body, page = client.ask(f"catalog/datasets/{poll.dataset}/records", params, _fault)
        if pages and page["total_count"] != total:
            return None
        total = page["total_count"]
        if not 0 < total <= _MOST_RECORDS:
            raise PollError(f"{client.name} has {total:,} records, not 1 to {_MOST_RECORDS:,}; nothing was landed.")
        if len(page["results"]) != min(_PAGE, total - read):
            return None
        read += len(page["results"])
        pages.append((body, len(page["results"])))
    return pages


def _fault(document: Any) -> str | None:
    """Say what is wrong with an answer; None if it is a page of records."""
    if isinstance(document, dict) and isinstance(document.get("results"), list) and type(document.get("total_count")) is int:
        return None
    return "answers something other than a page of records"
