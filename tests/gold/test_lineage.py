"""Which columns a model's columns are made from, by its SQL."""

import pytest

from lakehouse_assets.gold.lineage import sql_lineage

COLUMNS = {
    ("silver", "orders"): {"id": "bigint", "amount": "double", "tags": "varchar[]", "_date": "date"},
    ("gold", "dim_day"): {"day_key": "bigint", "_date": "date"},
}
ORDERS, DAYS = '"run"."silver"."orders"', '"run"."gold"."dim_day"'


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        (f"select id, amount * 2 as twice from {ORDERS}", {"id": ["silver.orders.id"], "twice": ["silver.orders.amount"]}),
        (
            f"with c as (select * exclude (tags) from {ORDERS}) select c.*, d.day_key from c join {DAYS} d using (_date)",
            {
                "id": ["silver.orders.id"],
                "amount": ["silver.orders.amount"],
                "_date": ["silver.orders._date"],
                "day_key": ["gold.dim_day.day_key"],
            },
        ),
        (
            f"select id as key from {ORDERS} union all select day_key from {DAYS}",
            {"key": ["gold.dim_day.day_key", "silver.orders.id"]},
        ),
        (
            f"select 1 as n, id as key from {ORDERS} union all by name select day_key as key, 2 as n from {DAYS}",
            {"key": ["gold.dim_day.day_key", "silver.orders.id"]},
        ),
        (
            f"select (select max(d.day_key) from {DAYS} d where d._date = o._date) as newest from {ORDERS} o",
            {"newest": ["gold.dim_day.day_key"]},
        ),
        (f"select t.tag from {ORDERS} o, unnest(o.tags) as t(tag)", {"tag": ["silver.orders.tags"]}),
        (f"select id from {ORDERS} where amount > 0", {"id": ["silver.orders.id"]}),
        ("select from where", {}),
    ],
)
def test_columns_are_followed_to_the_tables_of_silver_and_gold(sql, made):
    assert {name: [".".join(source) for source in read] for name, read in sql_lineage(sql, COLUMNS).items()} == made
