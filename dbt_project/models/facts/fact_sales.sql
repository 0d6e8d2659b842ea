-- One row per order item of all systems, batch and stream alike; returns and cancellations are rows of negative quantity. Keys refer to
-- the row versions valid on the day of the order; where there is none, to the current ones.
-- depends_on: {{ ref('dim_date') }}, {{ ref('dim_time') }}, which have the days and minutes that the keys refer to
select
    {{ surrogate_key(["l.source_system", "l.order_id", "l.line_id"]) }} as sales_key,
    coalesce(dated_customer.customer_key, customer.customer_key, -1) as customer_key,
    coalesce(dated_product.product_key, product.product_key, -1) as product_key,
    {{ date_key('l.order_date') }} as order_date_key,
    {{ date_key('l.ship_date') }} as ship_date_key,
    {{ date_key('l.due_date') }} as due_date_key,
    coalesce({{ time_key('l.ordered_at') }}, -1) as time_key,
    coalesce(channel.channel_key, -1) as channel_key,
    coalesce(store.store_key, -1) as store_key,
    coalesce(promotion.promotion_key, -1) as promotion_key,
    l.order_id,
    l.line_id,
    l.source_system,
    l.source_customer_id,
    l.source_product_id,
    l.quantity,
    l.unit_price,
    l.discount_amount,
    {{ usd('l.source_amount', 'l.source_currency', 'decimal(18, 2)') }} as usd_amount,
    l.source_currency,
    l.source_amount,
    l.amount_is_allocated,
    l.order_status,
    l.payment_method,
    l.order_date,
    l.ship_date,
    l.due_date,
    l._date
from {{ ref('int_sale_lines') }} as l
left join {{ ref('bridge_customer') }} as person
    on person.source_system = l.source_system and person.source_customer_id = l.source_customer_id
left join {{ ref('dim_customer') }} as dated_customer
    on dated_customer.person_key = person.person_key
    and l.order_date between dated_customer.valid_from and coalesce(dated_customer.valid_to, date '9999-12-31')
left join {{ ref('dim_customer') }} as customer
    on customer.person_key = person.person_key and customer.is_current
left join {{ ref('bridge_product') }} as item
    on item.source_system = l.source_system and item.source_product_id = l.source_product_id
left join {{ ref('dim_product') }} as dated_product
    on dated_product.item_key = item.item_key
    and l.order_date between dated_product.valid_from and coalesce(dated_product.valid_to, date '9999-12-31')
left join {{ ref('dim_product') }} as product
    on product.item_key = item.item_key and product.is_current
left join {{ ref('dim_channel') }} as channel on channel.channel_name = l.channel_name
left join {{ ref('dim_store') }} as store on store.store_id = l.store_id
left join {{ ref('dim_promotion') }} as promotion on promotion.promotion_id = l.promotion_id
{{ join_usd_rate('l.source_currency', 'l.order_date', rows=ref('int_sale_lines') ~ ' as l') }}
where {{ in_changed_parts(['l._date']) }}
