-- Order lines of the web shop. Pieces that are canceled or refunded are lines of their own, with their share of the discount, on the
-- day of the order: the shop gives no other day. A variant comes as two lines; the one without a parent has the price.
with lines as (
    select
        i.*,
        o.* exclude (order_id),
        i.row_total - coalesce(i.discount_amount, 0) as amount
    from {{ source('silver', 'magento_order_items') }} as i
    left join {{ ref('stg_magento__orders') }} as o using (order_id)
    where i.parent_item_id is null
),
parts as (
    select *, '' as part, quantity as pieces from lines
    union all
    select *, ':canceled', -quantity_canceled from lines where quantity_canceled > 0
    union all
    select *, ':refunded', -quantity_refunded from lines where quantity_refunded > 0
)
select
    'magento' as source_system,
    coalesce(order_number, cast(order_id as varchar)) as order_id,
    item_id || part as line_id,
    source_customer_id,
    sku as source_product_id,
    'Web shop' as channel_name,
    ordered_at,
    {{ business_day('ordered_at') }} as order_date,
    pieces as quantity,
    price as unit_price,
    cast(coalesce(discount_amount, 0) * pieces / quantity as decimal(18, 4)) as discount_amount,
    cast(amount * pieces / quantity as decimal(18, 4)) as source_amount,
    currency as source_currency,
    state as order_status,
    payment_method,
    _date
from parts
