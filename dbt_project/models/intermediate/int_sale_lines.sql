-- All order lines, one row each; returns and cancellations are rows of negative quantity. An order of the ERP that came from the web
-- shop is the shop's sale, so that nothing counts twice. Where a source's price and amount contradict each other by more than a cent,
-- which silver warns of, the amount counts, and the difference is a discount: pieces times price less discount is always the amount.
with from_the_shop as (
    -- An order may come from several: `000000042, 000000043`.
    select distinct origin
    from (select distinct origin, unnest(string_split(origin, ',')) as order_number from {{ ref('stg_odoo__sale_lines') }})
    where trim(order_number) in (select order_number from {{ ref('stg_magento__orders') }} where order_number is not null)
),
lines as (
    select * from {{ ref('stg_crm__sale_lines') }}
    union all by name
    select * from {{ ref('stg_magento__sale_lines') }}
    union all by name
    select * exclude (origin) from {{ ref('stg_odoo__sale_lines') }}
    where origin is null or origin not in (from from_the_shop)
    union all by name
    select * from {{ ref('stg_storefront__sale_lines') }}
    union all by name
    select * from {{ ref('stg_retail__sale_lines') }}
    union all by name
    select * from {{ ref('stg_orders__sale_lines') }}
),
priced as (
    select *, cast(quantity as decimal(20, 4)) * cast(unit_price as decimal(18, 4)) as full_amount from lines
)
select
    source_system,
    order_id,
    line_id,
    source_customer_id,
    source_product_id,
    channel_name,
    store_id,
    promotion_id,
    ordered_at,
    order_date,
    ship_date,
    due_date,
    cast(quantity as decimal(18, 4)) as quantity,
    cast(unit_price as decimal(18, 4)) as unit_price,
    cast(
        case when abs(full_amount - discount_amount - source_amount) > 0.01 then full_amount - source_amount else discount_amount end
        as decimal(18, 4)
    ) as discount_amount,
    cast(source_amount as decimal(18, 4)) as source_amount,
    source_currency,
    coalesce(order_status, 'n/a') as order_status,
    coalesce(payment_method, 'n/a') as payment_method,
    coalesce(amount_is_allocated, false) as amount_is_allocated,
    _date
from priced
