"""Channels: where messages go. What apprise knows by a URL (Slack, Teams, e-mail and dozens of others), and topics of Amazon's SNS.

The URLs hold secrets. They are in no error, log, table or name: a channel is named after its kind.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lakehouse_assets.alerts.message import Message
from lakehouse_assets.alerts.telling import Topic, Wishes
from lakehouse_assets.errors import AlertError, SettingsError

SEND_SECONDS = 20.0
"""For how long a receiver is waited for."""

_ENTRY = re.compile(
    r"(?:(?P<topics>[a-z]+(?:,[a-z]+)*)=)?(?P<address>[A-Za-z][A-Za-z0-9+]*://\S+|arn:[\w-]+:sns:[\w-]+:\d+:[\w.-]+)"
)
_STATUS = re.compile(r"error=(\d{3})\b")
_SUBJECT_CHARACTERS = 100
"""The most that SNS takes as a subject."""


class Channel(Protocol):
    """A receiver, by its name and what it wants."""

    @property
    def wishes(self) -> Wishes:
        """The channel's name, and what it wants to be told."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            AlertError: the receiver has not taken it, or does not say so in time.
        """


def channels_of(text: str, profile: str | None = None) -> list[Channel]:
    """Return the channels that a setting lists, separated by blanks. `profile` is the AWS profile of SNS. Nothing is contacted.

    Raises:
        SettingsError: an entry is neither a URL nor an ARN, or asks for what there is not. The text names it by its position.
    """
    found: list[Channel] = []
    kinds: Counter[str] = Counter()
    for position, entry in enumerate(text.split(), start=1):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise SettingsError(
                f"LAKEHOUSE_ALERT_URLS: entry {position} is neither a URL, such as mailtos://user:password@host, "
                "nor the ARN of an SNS topic. Entries are separated by blanks. See docs/alerts.md."
            )
        wanted = (match["topics"] or Topic.incidents).split(",")
        if unknown := set(wanted) - set(Topic):
            raise SettingsError(
                f"LAKEHOUSE_ALERT_URLS: entry {position} asks for {min(unknown)!r}. A channel may ask for {', '.join(Topic)}."
            )
        address = match["address"]
        kind = "sns" if address.startswith("arn:") else _kind(address)
        kinds[kind] += 1
        wishes = Wishes(f"{kind}-{kinds[kind]}", frozenset(map(Topic, wanted)))
        found.append(SnsTopic(wishes, address, profile) if kind == "sns" else AppriseUrl(wishes, address))
    return found


def _kind(url: str) -> str:
    """Return what a URL leads to, without anything that may be secret: its scheme, or whose web hook it is."""
    scheme = url.partition("://")[0].lower()
    if scheme != "https":
        return scheme
    host = re.split(r"[/?#:]", url.removeprefix("https://"))[0].lower()
    known = {"hooks.slack.com": "slack", "discord.com": "discord"}
    return known.get(host, "teams" if host.endswith((".logic.azure.com", ".powerplatform.com")) else "https")


@dataclass(frozen=True)
class AppriseUrl:
    """What apprise knows by a URL."""

    wishes: Wishes
    url: str = field(repr=False)

    def send(self, message: Message) -> None:
        """See `Channel.send`."""
        # Loading its plug-ins takes 0.4 s, which a pass with nothing to tell need not wait for.
        from apprise import Apprise, AppriseAsset
        from apprise.common import NotifyFormat, NotifyType, PersistentStoreMode

        _silence()
        asset = AppriseAsset(
            app_id="lakehouse",
            app_desc="lakehouse",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            storage_mode=PersistentStoreMode.MEMORY,
            allow_templates=False,
        )
        receiver = Apprise(asset=asset)
        if not receiver.add(self.url):
            raise AlertError(f"{self.wishes.name}: apprise can't read this URL of LAKEHOUSE_ALERT_URLS. See docs/alerts.md.")
        result = receiver.notify(
            body=message.text,
            title=message.title,
            notify_type=NotifyType(message.mood),
            body_format=NotifyFormat.TEXT,
            timeout=SEND_SECONDS,
        )
        if not result:
            # Only the status is taken from its log: the rest may repeat the URL.
            status = next((found[1] for entry in result.logs() if (found := _STATUS.search(str(entry)))), None)
            because = f"the receiver answers {status}" if status else "the receiver does not answer, or refuses"
            raise AlertError(f"{self.wishes.name}: {because}.")


def _silence() -> None:
    """Keep the URLs out of all logs: apprise, and the HTTP client below it, write them at level DEBUG, and wrong ones as errors."""
    logging.getLogger("apprise").propagate = False
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


@dataclass(frozen=True)
class SnsTopic:
    """A topic of Amazon's SNS, or of a server that speaks its protocol at `AWS_ENDPOINT_URL_SNS`."""

    wishes: Wishes
    arn: str
    profile: str | None = None

    def send(self, message: Message) -> None:
        """See `Channel.send`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            subject = message.title.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS]
            self.client().publish(TopicArn=self.arn, Subject=subject, Message=message.text)
        except ClientError as error:
            raise AlertError(
                f"{self.wishes.name}: SNS refuses ({error.response.get('Error', {}).get('Code', 'unknown')})."
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise AlertError(f"{self.wishes.name}: SNS can't be asked ({type(error).__name__}).") from None

    def client(self) -> Any:
        """Return a client of SNS in the region of the topic."""
        import boto3
        from botocore.config import Config

        endpoint = os.environ.get("AWS_ENDPOINT_URL_SNS") or None
        config = Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 1},
            # AWS_ENDPOINT_URL is that of the store, which has no topics.
            ignore_configured_endpoint_urls=endpoint is None,
        )
        session = boto3.Session(profile_name=self.profile or None)
        return session.client("sns", region_name=self.arn.split(":")[3], endpoint_url=endpoint, config=config)


def wishes_of(channels: Sequence[Channel]) -> list[Wishes]:
    """Return the names of channels, and what they want."""
    return [channel.wishes for channel in channels]
