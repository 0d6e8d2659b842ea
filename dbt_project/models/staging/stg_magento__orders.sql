-- Orders of the web shop.
select
    order_id,
    order_number,
    coalesce(cast(customer_id as varchar), 'guest:' || email) as source_customer_id,
    state,
    payment_method,
    currency,
    created_at as ordered_at
from {{ source('silver', 'magento_orders') }}
