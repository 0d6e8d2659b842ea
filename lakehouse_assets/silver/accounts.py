"""Row accounts of silver: how the rows of each partition stand after a commit."""

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.silver.audit import OK, SUPERSEDED, VERDICT, identity
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.handlers import Target
from lakehouse_assets.storage.ledger import PartitionRecord, RuleHits
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.tables import Commit, live_files, open_table, sql_date, table_facts

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class SilverAccount:
    """Counts after a commit. Each figure is counted on its own, none by subtraction.

    `raw` and `old` are the ledger's records of the raw and the silver table by date; `connection` knows the view `staged`.
    """

    target: Target
    entity: Entity
    raw: dict[date, PartitionRecord]
    old: dict[date, PartitionRecord]
    hits: dict[date, list[RuleHits]]
    connection: "duckdb.DuckDBPyConnection"
    quarantine: Quarantine

    def records(self, before: DeltaTable, commit: Commit, published: dict[date, str]) -> list[PartitionRecord]:
        """The ledger's new records: of the published partitions, and of those whose rows they superseded or gave back."""
        after = open_table(self.target.uri, version=commit.version)
        assert after is not None, "the commit made the table"
        old_files, new_files = live_files(before), live_files(after)
        old_paths, new_paths = {f["path"] for f in old_files}, {f["path"] for f in new_files}
        columns = {c.name: c.type for c in self.entity.contract.columns if c.name in self.entity.contract.key}
        columns |= {"_source_file": "string", "_row_number": "bigint"}
        files_view(self.connection, "removed", self.target.uri, [f for f in old_files if f["path"] not in new_paths], columns)
        files_view(self.connection, "added", self.target.uri, [f for f in new_files if f["path"] not in old_paths], columns)
        standing = table_facts(after).rows_by_date
        quarantined = self.quarantine.by_date("silver", self.entity.table)
        superseded = self._superseded()
        changes = self._changes(published)
        mine = [
            PartitionRecord(
                layer="silver",
                table_name=self.entity.table,
                date=day,
                rows_in=self.raw[day].rows_out,
                rows_out=standing.get(day, 0),
                rows_quarantined=quarantined.get(day, 0),
                rows_superseded=superseded.get(day, 0),
                delta_version=commit.version,
                run_id=self.target.run_id,
                fingerprint=mark,
                rules=self.hits.get(day, []),
            )
            for day, mark in sorted(published.items())
        ]
        others = [
            replace(
                self.old[day],
                rows_out=standing.get(day, 0),
                rows_superseded=self.old[day].rows_superseded + change,
                delta_version=commit.version,
                run_id=self.target.run_id,
            )
            for day, change in sorted(changes.items())
            if day in self.old
        ]
        return [*mine, *others]

    def _superseded(self) -> dict[date, int]:
        """Of the staged rows: how many don't stand because another row of their key does, by date."""
        same_key = " AND ".join(f'a."{k}" = s."{k}"' for k in identity(self.entity.contract))
        counted = self.connection.execute(
            f"""SELECT s._date, count(*) FROM staged AS s JOIN added AS a ON {same_key}
                WHERE s.{VERDICT} IN ('{OK}', '{SUPERSEDED}') AND NOT ({_same_row("a", "s")}) GROUP BY s._date"""
        )
        return dict(counted.fetchall())

    def _changes(self, published: dict[date, str]) -> dict[date, int]:
        """Of all other partitions: rows that were superseded by this commit, less those that came back, by date."""
        others = f"_date NOT IN ({', '.join(sql_date(d) for d in published)})"
        counted = self.connection.execute(
            f"""SELECT _date, sum(change)::BIGINT FROM (
                    SELECT _date, 1 AS change FROM removed AS r WHERE {others}
                        AND NOT EXISTS (FROM added AS a WHERE {_same_row("a", "r")})
                    UNION ALL
                    SELECT _date, -1 FROM added AS a WHERE {others}
                        AND NOT EXISTS (FROM removed AS r WHERE {_same_row("a", "r")})
                ) GROUP BY _date"""
        )
        return dict(counted.fetchall())


def _same_row(left: str, right: str) -> str:
    return " AND ".join(f"{left}.{c} = {right}.{c}" for c in ("_date", "_source_file", "_row_number"))
