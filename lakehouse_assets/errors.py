"""The errors that a user can cause or mend, one tree.

    LakehouseError
    ├── SettingsError       a setting is missing or can't work
    ├── ContractError       a contract contradicts itself (found when definitions load)
    ├── LandingError        a file can't be put into landing
    │   └── UnreadableError a file or folder of landing can't be read; all others can
    ├── PartitionGuardError rows outside the partitions of the run
    ├── AuditError          a `fail` rule was broken: the partition is not published
    ├── EngineError         the Spark engine can't be had
    │   └── EngineLostError it went away while it was used
    ├── ProjectError        a new project can't be laid out
    ├── UpkeepError         some tables could not be kept up
    ├── ServiceError        MinIO, Kafka or PostgreSQL can't be had on this machine
    ├── QueryError          a query that is refused or does not compile
    └── NewerTableError     a table was written by a program that knows more of Delta

Each takes the finished sentence: what is wrong, where, what to do. The command line prints it without a trace.
Errors of the machinery itself stay ordinary Python errors, with their trace.
"""

from collections.abc import Collection
from datetime import date


class LakehouseError(Exception):
    """Base of all errors that are told to the user in one sentence."""


class SettingsError(LakehouseError):
    """A setting is missing, malformed, or names something that can't be reached."""


class ContractError(LakehouseError):
    """A contract contradicts itself, such as a key that is no column."""


class LandingError(LakehouseError):
    """A file can't be put into landing: unknown entity, bad date, bad name."""


class UnreadableError(LandingError):
    """A file or folder of landing can't be read, although the store answers. `key` lies below the root."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} can't be read: {reason}.")
        self.key = key
        self.reason = reason


class PartitionGuardError(LakehouseError):
    """Rows to be written lie outside the partitions of the run; nothing was written."""


class AuditError(LakehouseError):
    """A `fail` rule was broken; nothing of the named partitions was published.

    `refused` are their dates. `written` is what became of the others, as the storage tells it (`Written`); None where the run
    wrote nothing.
    """

    def __init__(self, sentence: str, *, refused: Collection[date] = (), written: object = None) -> None:
        super().__init__(sentence)
        self.refused = refused
        self.written = written


class EngineError(LakehouseError):
    """The Spark engine can't be started or reached."""


class EngineLostError(EngineError):
    """The Spark server went away while it was used. What it was asked for is to be computed again, in a new session."""


class ProjectError(LakehouseError):
    """A new project can't be laid out where it was asked for."""


class UpkeepError(LakehouseError):
    """Some tables could not be kept up."""


class ServiceError(LakehouseError):
    """A service can't be installed, started or reached on this machine."""


class QueryError(LakehouseError):
    """A query was refused, or DuckDB could not run it."""


class NewerTableError(LakehouseError):
    """A table has a feature of Delta that this version of the program doesn't know."""
