-- Order lines of the CRM. The source has no time of day.
select
    'crm' as source_system,
    order_number as order_id,
    product_number as line_id,
    cast(customer_id as varchar) as source_customer_id,
    product_number as source_product_id,
    'Sales force' as channel_name,
    order_date,
    ship_date,
    due_date,
    quantity,
    price as unit_price,
    0 as discount_amount,
    sales as source_amount,
    currency as source_currency,
    _date
from {{ source('silver', 'crm_sales') }}
