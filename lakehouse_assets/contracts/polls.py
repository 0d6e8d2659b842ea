"""What a feed says of where the lakehouse fetches it from. `landing/pollers/` does so."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lakehouse_assets.contracts.formats import Json

_HOUR, _DAY = 60, 24 * 60

_SETTING = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class OpendatasoftPoll:
    """All records of a data set, by the Explore API v2.1 of a portal on Opendatasoft. Each poll lands one object.

    `setting` begins the names of the portal's settings: with `VELIB`, its address is `VELIB_URL` (by default `url`, such as
    `https://opendata.paris.fr`), and `VELIB_API_KEY` is the key that it may want. `order_by` names columns that give the records one
    order, so that pages neither overlap nor leave a record out.

    It is polled every `minutes`, beginning at each midnight in UTC. A poll ends without landing anything after `seconds`, or after
    `requests` requests, those that are repeated included. A request is given up after `request_seconds`, and sent up to `attempts`
    times.
    """

    setting: str
    dataset: str
    order_by: str
    url: str | None = None
    minutes: int = 10
    seconds: float = 120.0
    request_seconds: float = 20.0
    requests: int = 150
    attempts: int = 5

    @property
    def lands(self) -> Json:
        """The format of what lands: the pages, as the portal answers them."""
        return Json(records="results")

    @property
    def problems(self) -> list[str]:
        """The contradictions in this declaration."""
        divides = self.minutes > 0 and (_HOUR % self.minutes == 0 or (self.minutes % _HOUR == 0 and _DAY % self.minutes == 0))
        limits = {name: getattr(self, name) for name in ("seconds", "request_seconds", "requests", "attempts")}
        return [
            *([] if _SETTING.fullmatch(self.setting) else [f"the poll's setting {self.setting!r} is not like 'VELIB'"]),
            *([] if self.dataset and self.order_by else ["the poll names no data set, or no order of its records"]),
            *([] if divides else [f"its poll is every {self.minutes} minutes, which divide neither an hour nor a day evenly"]),
            *(f"its poll has {name}={value}: use a number above 0" for name, value in limits.items() if value <= 0),
        ]

    @property
    def cron(self) -> str:
        """When it is polled, in cron's notation, in UTC."""
        return f"*/{self.minutes} * * * *" if self.minutes < _HOUR else f"0 */{self.minutes // _HOUR} * * *"

    def slot(self, now: datetime) -> datetime:
        """Return the time of the poll that is due at a moment: the last one of the schedule, in UTC."""
        now = now.astimezone(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        interval = timedelta(minutes=self.minutes)
        return midnight + (now - midnight) // interval * interval


Poll = OpendatasoftPoll
"""Where a feed is fetched from. Each has a poller in `landing/pollers/`."""
