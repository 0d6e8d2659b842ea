-- Users of the storefront, one row each: nothing is known of them but their number.
with mentioned as (
    select user_id, _date from {{ source('silver', 'storefront_orders') }}
    union all
    select user_id, _date from {{ source('silver', 'storefront_order_items') }}
)
select
    'storefront' as source_system,
    cast(user_id as varchar) as source_customer_id,
    cast(null as varchar) as customer_number,
    cast(null as varchar) as email,
    cast(null as varchar) as first_name,
    cast(null as varchar) as last_name,
    cast(null as varchar) as country,
    cast(null as varchar) as gender,
    cast(null as varchar) as marital_status,
    cast(null as date) as birth_date,
    cast(null as date) as registration_date,
    cast(null as boolean) as is_active,
    cast(null as varchar) as shop_customer_id,
    min(_date) as _date
from mentioned
where user_id is not null
group by user_id
