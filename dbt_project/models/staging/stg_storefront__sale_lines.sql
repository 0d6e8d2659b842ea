-- Order items of the storefront. Items have no price: the order's total is spread over them in whole cents, and the cents that are
-- left over go to the first items in the cart.
with items as (
    select
        i.*,
        o.currency,
        o.order_timestamp as ordered_at,
        cast(o.total_amount * 100 as bigint) as cents,
        count(*) over (partition by i.order_id) as items,
        row_number() over (partition by i.order_id order by i.add_to_cart_order nulls last, i.id) as place
    from {{ source('silver', 'storefront_order_items') }} as i
    left join {{ source('silver', 'storefront_orders') }} as o using (order_id)
),
rounded_down as (
    -- Below 0 too, so that what is left over is never negative.
    select *, cast(floor(cents / items) as bigint) as share from items
),
shares as (
    select *, cast(share + (place <= cents - share * items)::int as decimal(18, 4)) / 100 as amount from rounded_down
)
select
    'storefront' as source_system,
    cast(order_id as varchar) as order_id,
    cast(id as varchar) as line_id,
    cast(user_id as varchar) as source_customer_id,
    cast(product_id as varchar) as source_product_id,
    'Storefront' as channel_name,
    ordered_at,
    {{ business_day('ordered_at') }} as order_date,
    case when amount < 0 then -1 else 1 end as quantity,
    abs(amount) as unit_price,
    0 as discount_amount,
    amount as source_amount,
    currency as source_currency,
    true as amount_is_allocated,
    _date
from shares
