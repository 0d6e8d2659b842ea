-- A day opens with what the day before closed with, and closes with what its moves, sales and adjustment make of it.
select *
from {{ ref('fact_inventory_snapshot') }}
qualify
    closing_stock <> opening_stock + moved_in - moved_out - quantity_sold + adjustment
    or opening_stock <> lag(closing_stock, 1, opening_stock) over (
        partition by source_system, source_product_id, warehouse_location order by snapshot_date
    )
