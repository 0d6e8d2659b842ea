-- One row per product that is kept in stock: for how long it lasts. Stock is that of the shop, or of the ERP for what the shop
-- doesn't keep: both count the same pieces. What is sold a day is the average over the last days of the data, on all channels,
-- less returns.
with stock as (
    select
        p.item_key,
        f.source_system,
        f.warehouse_location,
        arg_max(f.closing_stock, f.snapshot_date) as pieces,
        max(f.snapshot_date) as stock_date,
        max(f._date) as _date
    from {{ ref('fact_inventory_snapshot') }} as f
    join {{ ref('dim_product') }} as p using (product_key)
    where f.product_key <> -1 and f.snapshot_date_key <> -1
    group by all
),
kept as (
    select
        item_key,
        source_system,
        count(*) filter (warehouse_location <> 'unassigned') as warehouses,
        sum(pieces) as pieces,
        max(stock_date) as stock_date,
        max(_date) as _date
    from stock
    group by item_key, source_system
    having warehouses > 0
    qualify row_number() over (partition by item_key order by source_system) = 1
),
last_days as (
    select max(stock_date) - {{ var('stock_alert_days') }} + 1 as first_day, max(stock_date) as last_day from stock
),
sold as (
    select p.item_key, sum(f.quantity) as quantity, max(f.order_date) filter (f.quantity > 0) as last_sold, max(f._date) as _date
    from {{ ref('fact_sales') }} as f
    join {{ ref('dim_product') }} as p using (product_key)
    where f.order_date between (select first_day from last_days) and (select last_day from last_days)
    group by p.item_key
),
covers as (
    select
        k.*,
        coalesce(s.quantity, 0) as quantity_sold,
        s.last_sold,
        case
            when s.quantity > 0 then least(greatest(k.pieces, 0) * {{ var('stock_alert_days') }} / s.quantity, 99999)
        end as days_of_cover,
        greatest(k._date, s._date) as changed
    from kept as k
    left join sold as s using (item_key)
)
select
    p.product_key,
    p.product_code,
    p.product_name,
    p.category,
    p.brand,
    c.source_system,
    c.warehouses,
    cast(c.pieces as decimal(18, 4)) as current_stock,
    c.stock_date,
    cast(c.quantity_sold as decimal(18, 4)) as quantity_sold,
    cast(c.quantity_sold / {{ var('stock_alert_days') }} as decimal(18, 4)) as daily_quantity,
    c.last_sold,
    cast(c.days_of_cover as decimal(18, 1)) as days_of_cover,
    case
        when c.pieces <= 0 then 'out'
        when c.days_of_cover < {{ var('stock_alert_low_cover') }} then 'low'
        else 'ok'
    end as level,
    greatest(c.changed, p._date) as _date
from covers as c
join {{ ref('dim_product') }} as p on p.item_key = c.item_key and p.is_current
