-- One row per order of all systems: the sums of its lines. Day, time, status, customer and so on are those of its first line, by day, time
-- and number; a customer or currency that only some lines have is that of the order. An order in several currencies has
-- none: its source_amount is a sum for checks alone.
with orders as (
    select
        source_system,
        order_id,
        arg_min(
            {
                'order_date_key': order_date_key,
                'time_key': time_key,
                'customer_key': customer_key,
                'channel_key': channel_key,
                'store_key': store_key,
                'order_status': order_status,
                'payment_method': payment_method,
                'order_date': order_date
            },
            {'no_day': (order_date_key = -1)::int, 'order_date': order_date, 'time_key': time_key, 'line_id': line_id}
        ) as first_line,
        max(customer_key) as some_customer_key,
        count(*) as lines,
        sum(quantity) as quantity,
        sum(usd_amount) as usd_amount,
        min(source_currency) as source_currency,
        max(source_currency) as other_currency,
        sum(source_amount) as source_amount,
        max(_date) as _date
    from {{ ref('fact_sales') }}
    where {{ in_changed_parts(['source_system', 'order_id']) }}
    group by source_system, order_id
)
select
    {{ surrogate_key(["source_system", "order_id"]) }} as order_key,
    case when first_line.customer_key = -1 then some_customer_key else first_line.customer_key end as customer_key,
    first_line.order_date_key,
    first_line.time_key,
    first_line.channel_key,
    first_line.store_key,
    order_id,
    source_system,
    lines,
    cast(quantity as decimal(18, 4)) as quantity,
    cast(usd_amount as decimal(18, 2)) as usd_amount,
    first_line.order_status,
    first_line.payment_method,
    case when source_currency = other_currency then source_currency end as source_currency,
    cast(source_amount as decimal(18, 4)) as source_amount,
    first_line.order_date,
    _date
from orders
