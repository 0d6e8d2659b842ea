-- What the shop has shipped, on the day when the line was last changed: it gives no other. Nor does it say from which source: the
-- pieces are sold in the warehouse `unassigned`, which gets them by a correction of the same number, as it has no stock. In the
-- source that they left, they are missing from the next count: there the correction goes the other way. A refund does not say
-- whether pieces came back.
select
    'magento' as source_system,
    i.sku as source_product_id,
    'unassigned' as warehouse_location,
    {{ business_day('coalesce(i.updated_at, o.ordered_at)') }} as day,
    i.quantity_shipped as sold,
    i.quantity_shipped as corrected,
    i._date
from {{ source('silver', 'magento_order_items') }} as i
left join {{ ref('stg_magento__orders') }} as o using (order_id)
where i.parent_item_id is null and i.quantity_shipped > 0
