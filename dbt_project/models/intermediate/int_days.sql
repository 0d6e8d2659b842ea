-- The days to which facts refer, with the first landing date of each. Each source is reduced to its distinct days before it is joined
-- with others. A fact with days of its own adds a `union all` here: dim_date then has them.
with days as (
    select unnest([order_date, ship_date, due_date]) as day, _date
    from (select order_date, ship_date, due_date, min(_date) as _date from {{ ref('int_sale_lines') }} group by all)
    union all
    select unnest([created_date, resolved_date]) as day, _date
    from (select created_date, resolved_date, min(_date) as _date from {{ ref('stg_freshdesk__tickets') }} group by all)
    union all
    select reported_date as day, min(_date) as _date from {{ ref('stg_bikes__readings') }} group by all
    union all
    select day, min(_date) as _date from {{ ref('int_inventory_movements') }} group by all
)
select day, min(_date) as _date
from days
where {{ in_calendar('day') }}
group by all
