"""The errors that a user can cause or fix, one tree.

    LakehouseError
    ├── SettingsError       a setting is missing or can't work
    ├── ContractError       a contract contradicts itself (found when definitions load)
    ├── LandingError        a file can't be put into landing
    │   └── UnreadableError a file or folder of landing can't be read; all others can
    ├── PollError           a feed's portal can't be read
    ├── DrainError          a Kafka topic can't be drained
    │   └── BrokerAwayError the broker does not answer
    ├── PartitionGuardError rows outside the partitions of the run
    ├── AuditError          a `fail` rule was broken: the partition is not published
    ├── EngineError         the Spark engine is unavailable
    │   └── EngineLostError the connection to it was lost while it was used
    ├── ProjectError        a new project can't be created
    ├── GenerateError       data can't be generated, or a folder has none
    ├── AlertError          a receiver has not taken an alert
    ├── PublishError        a database or catalog can't take a table that is published to it
    ├── UpkeepError         some tables could not be maintained
    ├── ServiceError        MinIO, Kafka or PostgreSQL is unavailable on this machine
    ├── QueryError          a query was refused or does not compile
    ├── SelectionError      a selection of tables, or of their dates, can't be understood
    └── NewerTableError     a table uses a Delta feature that this program does not support

Each takes the complete message: what is wrong, where, what to do. The command line prints it without a traceback. Internal errors
remain ordinary Python errors, with their traceback.
"""

from collections.abc import Collection
from datetime import date


class LakehouseError(Exception):
    """Base of all errors that are reported to the user as a plain message."""


class SettingsError(LakehouseError):
    """A setting is missing, malformed, or names something that can't be reached."""


class ContractError(LakehouseError):
    """A contract contradicts itself, for example by a key that is not a column."""


class LandingError(LakehouseError):
    """A file can't be put into landing: unknown entity, bad date, bad name."""


class UnreadableError(LandingError):
    """A file or folder of landing can't be read, although the store answers. `key` is relative to the root."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} can't be read: {reason}.")
        self.key = key
        self.reason = reason


class PollError(LakehouseError):
    """A feed's portal is down, refuses, or answers otherwise than its API says: nothing was landed by this poll."""


class DrainError(LakehouseError):
    """A Kafka topic can't be drained, or what it has does not fit to what has landed of it. What was landed stays."""


class BrokerAwayError(DrainError):
    """No broker answers. What was landed stays; the next drain goes on from there."""


class PartitionGuardError(LakehouseError):
    """Rows to be written lie outside the partitions of the run; nothing was written."""


class AuditError(LakehouseError):
    """A `fail` rule was broken: nothing of the refused partitions was published.

    `refused` holds their dates. `written` is the result of writing the others (`Written`); None if the run wrote nothing.
    """

    def __init__(self, sentence: str, *, refused: Collection[date] = (), written: object = None) -> None:
        super().__init__(sentence)
        self.refused = refused
        self.written = written


class EngineError(LakehouseError):
    """The Spark engine can't be started or reached."""


class EngineLostError(EngineError):
    """The connection to the Spark server was lost while it was used. The work must be repeated in a new session."""


class ProjectError(LakehouseError):
    """A new project can't be created in the given folder."""


class GenerateError(LakehouseError):
    """Data can't be generated as the options say, or a folder holds no generated data."""


class PublishError(LakehouseError):
    """A target, such as PostgreSQL, can't take what is published to it. It holds what it held before."""


class AlertError(LakehouseError):
    """A receiver has not taken a message. It is sent again later."""


class UpkeepError(LakehouseError):
    """Some tables could not be maintained."""


class ServiceError(LakehouseError):
    """A service can't be installed, started or reached on this machine."""


class SelectionError(LakehouseError):
    """A selection of tables names what does not exist, or selects nothing; or its dates are no partitions."""


class QueryError(LakehouseError):
    """A query was refused, or DuckDB could not run it."""


class NewerTableError(LakehouseError):
    """A table uses a Delta feature that this version of the program does not support."""
