"""`superseded.<table>`: the rows that another row of their key, or a tombstone, keeps out of a silver table."""

from datetime import date

import pytest

from lakehouse_assets.serving.query import query
from lakehouse_assets.serving.versions import parse_as_of
from tests.support.things import entity

pytestmark = pytest.mark.worlds("sail-folder", "sail-minio")

HEADER = "id,changed,said,op,sent\n"


def test_the_rows_that_lost_can_be_read_and_are_as_many_as_the_accounts_say(make_lakehouse):
    shop = make_lakehouse(entity("upsert"))

    def rows():
        return query(
            shop.settings.root, 'SELECT thing_id, "at", value, _date FROM superseded.shop_things ORDER BY ALL'
        ).fetchall()

    shop.land("shop/things", "2026-01-01", "a.csv", f"{HEADER}1,1,old,,\n2,1,kept,,\n")
    shop.build()
    assert rows() == []

    shop.land("shop/things", "2026-01-02", "b.csv", f"{HEADER}1,2,new,,\n3,1,gone,,\n3,2,,d,\n")
    shop.build()
    january = [date(2026, 1, day) for day in (1, 2)]
    assert rows() == [("1", 1, "old", january[0]), ("3", 1, "gone", january[1]), ("3", 2, None, january[1])]
    [counted] = query(
        shop.settings.root, "SELECT sum(rows_superseded)::BIGINT FROM ops.row_accounts WHERE layer = 'silver'"
    ).fetchall()
    assert counted == (3,)

    # As of a version: what was superseded then.
    def said(version: int) -> list[str | None]:
        sql = "SELECT value FROM superseded.shop_things ORDER BY ALL"
        return [text for (text,) in query(shop.settings.root, sql, parse_as_of(str(version), "UTC")).fetchall()]

    newest = shop.versions()["silver.shop_things"]
    assert (said(newest - 1), said(newest)) == ([], ["gone", "old", None])

    shop.land("shop/things", "2026-01-03", "c.csv", f"{HEADER}5,1,older,,\n5,2,newer,,\n")
    shop.land("shop/things", "2026-01-04", "d.csv", f"{HEADER}4,1,other,,\n4,2,new,,\n")
    shop.build()
    assert [row[2] for row in rows()] == ["old", "gone", None, "other", "older"]

    shop.remove("shop/things", "2026-01-02", "b.csv")
    shop.remove("shop/things", "2026-01-04", "d.csv")
    shop.build()
    assert [row[2] for row in rows()] == ["older"]
