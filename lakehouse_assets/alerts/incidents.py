"""What can be wrong, and what is: kinds of incidents, and the incidents that were found at a moment.

Texts have names of tables, files, checks and runs, dates and numbers. They never repeat an error's message or a row: these may hold
secrets, or data of persons.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of incidents; the last two are no incidents, but told of as well."""

    store = "store"
    no_passes = "no_passes"
    failed_run = "failed_run"
    failed_check = "failed_check"
    failed_tick = "failed_tick"
    refused_partition = "refused_partition"
    behind = "behind"
    refused_file = "refused_file"
    delivery = "delivery"
    held_delivery = "held_delivery"
    stale = "stale"
    quarantine = "quarantine"
    volume = "volume"
    lag = "lag"
    success = "success"
    digest = "digest"


NOTES = frozenset({Kind.success, Kind.digest})
"""The kinds that are told once and have no end."""

OF_BOOKS = frozenset(
    {
        Kind.refused_partition,
        Kind.behind,
        Kind.refused_file,
        Kind.delivery,
        Kind.held_delivery,
        Kind.stale,
        Kind.quarantine,
        Kind.volume,
        *NOTES,
    }
)
"""The kinds that the books show."""

OF_DAGSTER = frozenset({Kind.failed_run, Kind.failed_check, Kind.failed_tick})
"""The kinds that Dagster's history shows."""


@dataclass(frozen=True)
class KindText:
    """How messages speak of a kind: its title, and what to do."""

    title: str
    to_do: str


TEXTS = {
    Kind.store: KindText("The store can't be used", "Correct the setting, or bring the store back. No pass is made until then."),
    Kind.no_passes: KindText(
        "No pass can be made", "See the log of `lakehouse sync --follow`; `lakehouse plan` shows the error."
    ),
    Kind.failed_run: KindText(
        "A run failed",
        "Open the run, or run `lakehouse sync`, for the error. Faults of the moment are tried again automatically; "
        "faults of the data once a file, the contract or the code changes.",
    ),
    Kind.failed_check: KindText(
        "A blocking check failed", "Open the check: it says which rows. Then correct the data or the rule."
    ),
    Kind.failed_tick: KindText(
        "A sensor or schedule fails", "Open its ticks in the UI (Automation): the last one has the error."
    ),
    Kind.refused_partition: KindText(
        "A partition is refused", "`lakehouse sync` shows which rule. Have the file corrected, or change the contract."
    ),
    Kind.behind: KindText(
        "A gold model is behind", "`lakehouse sync` shows which model or test fails. Until then, users see its last version."
    ),
    Kind.refused_file: KindText("Nothing of a file could be loaded", "`lakehouse quarantine --file NAME` says why."),
    Kind.delivery: KindText(
        "A delivery is late or not as announced", "Ask its source. `lakehouse plan` lists what is outstanding."
    ),
    Kind.held_delivery: KindText(
        "A full export is held back",
        "Look whether it is complete. If it is, run `lakehouse accept SYSTEM/ENTITY --date D`; else have it sent again.",
    ),
    Kind.stale: KindText("A table is stale", "See what fails upstream of it; `lakehouse plan` shows what is to be built."),
    Kind.quarantine: KindText(
        "Much is in quarantine",
        "`lakehouse quarantine --table T --date D` shows the rules and the rows. Mend the source or the rule.",
    ),
    Kind.volume: KindText("Unusually few or many rows", "Ask the source whether the delivery is complete, and not sent twice."),
    Kind.lag: KindText(
        "Kafka is ahead of landing", "See whether the drain runs (`lakehouse drain`), and whether the broker answers."
    ),
    Kind.success: KindText("A pass is complete", ""),
    Kind.digest: KindText("Daily digest", ""),
}


@dataclass(frozen=True)
class Incident:
    """Something that is wrong now. `place` is the table, topic, feed or sensor; `detail` tells incidents of one place apart.

    `since` is None if it is not known: then it counts from when it was noticed.
    """

    kind: Kind
    place: str
    what: str
    detail: str = ""
    since: datetime | None = None
    link: str = ""

    @property
    def key(self) -> str:
        """What the incident is recognized by."""
        return "/".join(filter(None, (self.kind, self.place, self.detail)))


@dataclass(frozen=True)
class Found:
    """What was found at a moment: the incidents, and the kinds that were looked for. Of other kinds, nothing is known.

    `summary` are the lines of the digest.
    """

    incidents: tuple[Incident, ...]
    kinds: frozenset[Kind]
    summary: tuple[str, ...] = ()

    def __add__(self, other: "Found") -> "Found":
        """Join what was found in two places."""
        return Found(self.incidents + other.incidents, self.kinds | other.kinds, self.summary + other.summary)


_ADDRESS = re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+")


def masked(text: str) -> str:
    """Hide addresses of e-mail in a text that others have written, such as a file's name.

    >>> masked("export of jo.doe@example.com.csv")
    'export of ***'
    """
    return _ADDRESS.sub("***", text)
