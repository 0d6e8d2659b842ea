-- Lines of the order stream, which names no customer. The price of a piece is that after supplements and the members' discount.
select
    'orders' as source_system,
    event_id as order_id,
    line_id,
    product_id as source_product_id,
    'Order stream' as channel_name,
    ordered_at,
    {{ business_day('ordered_at') }} as order_date,
    quantity,
    net_price as unit_price,
    0 as discount_amount,
    total as source_amount,
    currency as source_currency,
    _date
from {{ source('silver', 'orders_events') }}
