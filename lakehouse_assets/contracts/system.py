"""A source system and its entities: what one file under `systems/` declares."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import NAME, Contract, RawContract
from lakehouse_assets.contracts.problems import refuse
from lakehouse_assets.contracts.reach import code_digest, file_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SilverFunction = Callable[["DataFrame"], "DataFrame"]
"""Takes raw rows (all text, with `_date`) and returns them with the contract's columns added. It keeps all rows and all
source columns: which rows leave is the rules' business, and rules may look at what the source said."""


@dataclass(frozen=True)
class Entity:
    """One kind of file that a system delivers, and the raw and silver tables made of it.

    `landing` is where its files land, as `system/entity`: `crm/customers`.

    Raises:
        ContractError: `landing` isn't written so.
    """

    landing: str
    raw: RawContract
    contract: Contract
    silver: SilverFunction

    def __post_init__(self) -> None:
        parts = self.landing.split("/")
        if len(parts) != 2 or not all(NAME.fullmatch(part) for part in parts):
            like = f"landing {self.landing!r} is not system/entity in lower case letters, digits and _, such as 'crm/customers'"
            refuse(f"Entity of {self.table}", [like])

    @property
    def table(self) -> str:
        """The name of the raw and the silver table, such as `crm_customers`."""
        return self.contract.table

    @property
    def system(self) -> str:
        """The name of the system that delivers it."""
        return self.landing.split("/")[0]

    @property
    def place(self) -> str:
        """Where somebody finds it who has to mend it: the file of its silver function, and the table."""
        file = file_of(self.silver)
        return f"{file.parent.name}/{file.name}: {self.table}" if file else self.table

    def silver_digest(self) -> str:
        """The code version of the silver table: its contract and all code of the project that its silver function reaches."""
        return hashlib.sha256((self.contract.digest() + code_digest(self.silver)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class System:
    """A source system: a name, what it is, and its entities.

    Raises:
        ContractError: an entity lands outside of the system's folder, where nobody would look for its files.
    """

    name: str
    description: str
    entities: Sequence[Entity]

    def __post_init__(self) -> None:
        problems = [
            f"{e.table} lands in {e.landing!r}, outside of the system's folder "
            f"(did you mean {'/'.join((self.name, *e.landing.split('/')[1:]))!r}?)"
            for e in self.entities
            if e.system != self.name
        ]
        if not NAME.fullmatch(self.name):
            problems = ["that is no name (lower case letters, digits and _)"]
        refuse(f"System {self.name!r}", problems)
