-- One row per system that keeps stock, product, warehouse and day on which something was counted, moved or sold there.
--   Closing     What was counted on the day; else the last closing stock, and what came, went and was sold since. Before the
--               first count it is worked out backwards from that, so the first day needs no correction. What is never counted starts
--               at 0.
--   Opening     The closing stock of the day before that has a row.
--   Adjustment  What the day's moves and sales do not explain, corrections that the ERP has recorded among it:
--               closing = opening + moved in - moved out - sold + adjustment.
-- Each system counts by itself, often the same pieces: sum over one system, never over all.
-- depends_on: {{ ref('dim_date') }}, {{ ref('dim_time') }}, which have the days and the unknown time that the keys refer to
with days as (
    select
        source_system,
        source_product_id,
        warehouse_location,
        day,
        sum(counted) as counted,
        coalesce(sum(moved_in), 0) as moved_in,
        coalesce(sum(moved_out), 0) as moved_out,
        coalesce(sum(sold), 0) as sold,
        coalesce(sum(moved_in), 0) - coalesce(sum(moved_out), 0) - coalesce(sum(sold), 0) + coalesce(sum(corrected), 0) as change,
        max(_date) as _date
    from {{ ref('int_inventory_movements') }}
    group by all
),
totals as (
    select *, sum(change) over (partition by source_system, source_product_id, warehouse_location order by day) as total
    from days
),
closed as (
    select
        *,
        total + coalesce(
            last_value(counted - total ignore nulls) over until_now,
            first_value(counted - total ignore nulls) over whole,
            0
        ) as closing,
        max(_date) over until_now as changed
    from totals
    window
        until_now as (
            partition by source_system, source_product_id, warehouse_location order by day
            rows between unbounded preceding and current row
        ),
        whole as (
            partition by source_system, source_product_id, warehouse_location order by day
            rows between unbounded preceding and unbounded following
        )
),
opened as (
    select
        *,
        lag(closing, 1, closing - change) over (
            partition by source_system, source_product_id, warehouse_location order by day
        ) as opening
    from closed
)
select
    {{ surrogate_key(["o.source_system", "o.source_product_id", "o.warehouse_location", "o.day"]) }} as inventory_key,
    coalesce(dated_product.product_key, product.product_key, -1) as product_key,
    {{ date_key('o.day') }} as snapshot_date_key,
    cast(-1 as integer) as time_key,
    o.source_system,
    o.source_product_id,
    o.warehouse_location,
    cast(o.opening as decimal(18, 4)) as opening_stock,
    cast(o.moved_in as decimal(18, 4)) as moved_in,
    cast(o.moved_out as decimal(18, 4)) as moved_out,
    cast(o.sold as decimal(18, 4)) as quantity_sold,
    cast(o.closing - o.opening - o.moved_in + o.moved_out + o.sold as decimal(18, 4)) as adjustment,
    cast(o.closing as decimal(18, 4)) as closing_stock,
    o.counted is not null as is_counted,
    o.day as snapshot_date,
    o.changed as _date
from opened as o
left join {{ ref('bridge_product') }} as item
    on item.source_system = o.source_system and item.source_product_id = o.source_product_id
left join {{ ref('dim_product') }} as dated_product
    on dated_product.item_key = item.item_key
    and o.day between dated_product.valid_from and coalesce(dated_product.valid_to, date '9999-12-31')
left join {{ ref('dim_product') }} as product
    on product.item_key = item.item_key and product.is_current
