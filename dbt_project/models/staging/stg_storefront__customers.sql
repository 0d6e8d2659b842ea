-- Users of the storefront, one row each: nothing is known of them but their number.
with mentioned as (
    select user_id, _date from {{ source('silver', 'storefront_orders') }}
    union all
    select user_id, _date from {{ source('silver', 'storefront_order_items') }}
)
select
    'storefront' as source_system,
    cast(user_id as varchar) as source_customer_id,
    min(_date) as _date
from mentioned
where user_id is not null
group by user_id
