-- Order items of the storefront. Items have no price: the order's total is spread over them in whole cents, and the cents that are
-- left over go to the first items in the cart. An order of which no item has arrived is one line of an unknown product, until one does.
with places as (
    select
        order_id,
        id,
        product_id,
        _date,
        count(*) over (partition by order_id) as items,
        row_number() over (partition by order_id order by add_to_cart_order nulls last, id) as place
    from {{ source('silver', 'storefront_order_items') }}
),
items as (
    select
        o.order_id,
        coalesce(cast(i.id as varchar), 'order') as line_id,
        o.user_id,
        i.product_id,
        o.order_timestamp as ordered_at,
        o.currency,
        cast(o.total_amount * 100 as bigint) as cents,
        coalesce(i.items, 1) as items,
        coalesce(i.place, 1) as place,
        coalesce(i._date, o._date) as _date
    from {{ source('silver', 'storefront_orders') }} as o
    left join places as i using (order_id)
),
rounded_down as (
    -- Below 0 too, so that what is left over is never negative.
    select *, cast(floor(cents / items) as bigint) as share from items
),
shares as (
    select *, cast((share + (place <= cents - share * items)::int) / 100 as decimal(18, 4)) as amount from rounded_down
)
select
    'storefront' as source_system,
    cast(order_id as varchar) as order_id,
    line_id,
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
