-- Order lines of the web shop. Pieces that are canceled or refunded are lines of their own, on the day of the order: the shop gives no
-- other day. Amount and discount of the pieces are shares of the line's, in whole cents; the shares of all pieces add up to the line, so
-- that a line of which nothing is left nets to 0. No more pieces go than were ordered, and of a canceled order all that were not
-- refunded, whether its lines say so or not. A variant comes as two lines; the one without a parent has the price.
with lines as (
    select
        i.*,
        o.* exclude (order_id),
        coalesce(i.discount_amount, 0) as discount,
        least(greatest(coalesce(i.quantity_refunded, 0), 0), i.quantity) as refunded,
        case when o.state = 'canceled' then i.quantity else least(greatest(coalesce(i.quantity_canceled, 0), 0), i.quantity) end as asked
    from {{ source('silver', 'magento_order_items') }} as i
    left join {{ ref('stg_magento__orders') }} as o using (order_id)
    where i.parent_item_id is null
),
counted as (
    select *, least(asked, quantity - refunded) as canceled from lines
),
parts as (
    select *, '' as part, quantity as pieces, row_total as value, discount as taken_off from counted
    union all
    select *, ':refunded', -refunded, -{{ share('row_total', 'refunded') }}, -{{ share('discount', 'refunded') }}
    from counted
    where refunded > 0
    union all
    select
        *,
        ':canceled',
        -canceled,
        {{ share('row_total', 'refunded') }} - {{ share('row_total', 'refunded + canceled') }},
        {{ share('discount', 'refunded') }} - {{ share('discount', 'refunded + canceled') }}
    from counted
    where canceled > 0
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
    taken_off as discount_amount,
    value - taken_off as source_amount,
    currency as source_currency,
    state as order_status,
    payment_method,
    _date
from parts
