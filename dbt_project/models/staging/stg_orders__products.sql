-- Products of the order stream.
select
    'orders' as source_system,
    product_id as source_product_id,
    product_id as code,
    product_id,
    product_name,
    category,
    price,
    currency,
    cost,
    currency as cost_currency,
    units_in_stock,
    _date
from {{ source('silver', 'orders_products') }}
