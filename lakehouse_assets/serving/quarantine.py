"""What lies in quarantine, grouped for people."""

from datetime import date
from typing import Any

from lakehouse_assets.serving.query import open_views
from lakehouse_assets.storage.duck import separate
from lakehouse_assets.storage.root import Root

SAMPLES = 3


def quarantined(root: Root, *, table: str | None = None, day: date | None = None) -> list[dict[str, Any]]:
    """Groups of `layer`, `table_name`, `date`, `rule`, `reason`, each with its `rows` and a few `samples`.

    A sample has `source_file`, `row_number` and `payload`, the original text.
    """
    with separate(root) as connection:
        open_views(connection, root)
        found = connection.execute(
            f"""SELECT layer, table_name, date, rule, reason, count(*) AS rows,
                    list({{source_file: source_file, row_number: row_number, payload: payload}}
                         ORDER BY source_file, row_number)[1:{SAMPLES}] AS samples
                FROM quarantine.rows WHERE ($table IS NULL OR table_name = $table) AND ($day IS NULL OR date = $day)
                GROUP BY ALL ORDER BY layer, table_name, date, rule, reason""",
            {"table": table, "day": day},
        )
        names = [c[0] for c in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
