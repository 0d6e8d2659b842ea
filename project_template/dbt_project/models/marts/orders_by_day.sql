-- Orders and revenue by day. Every gold model has a column `_date`: the landing date of what last changed the row.
select
    cast(ordered_at_utc as date) as day,
    count(*) as orders,
    cast(sum(usd_amount) as decimal(18, 2)) as usd_amount,
    max(_date) as _date
from {{ source('silver', 'shop_orders') }}
group by 1
