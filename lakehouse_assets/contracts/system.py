"""A source system and its entities: what one file under `systems/` declares."""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Contract, RawContract
from lakehouse_assets.contracts.reach import code_digest, home

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SilverFunction = Callable[["DataFrame"], "DataFrame"]
"""Takes raw rows (all text, with `_date`) and returns them with the contract's columns added. It keeps all rows and all
source columns: which rows leave is the rules' business, and rules may look at what the source said."""


@dataclass(frozen=True)
class Entity:
    """One kind of file that a system delivers, and the raw and silver tables made of it.

    `landing` is where its files land, as `system/entity`: `crm/customers`.
    """

    landing: str
    raw: RawContract
    contract: Contract
    silver: SilverFunction

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
        file = Path(sys.modules[home(self.silver)].__file__ or "?")
        return f"{file.parent.name}/{file.name}: {self.table}"

    def silver_digest(self) -> str:
        """The code version of the silver table: its contract and all code of the project that its silver function reaches."""
        return hashlib.sha256((self.contract.digest() + code_digest(self.silver)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class System:
    """A source system: a name, what it is, and its entities."""

    name: str
    description: str
    entities: Sequence[Entity]
