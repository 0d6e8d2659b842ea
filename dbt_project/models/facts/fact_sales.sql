-- One row per order line. The product key refers to the row version valid on the day of the order, or else to the current one.
-- depends_on: {{ ref('dim_date') }}, which has the days that the date keys refer to
select
    {{ surrogate_key(["'crm'", "s.order_number", "s.product_number"]) }} as sales_key,
    c.customer_key,
    coalesce(dated.product_key, latest.product_key) as product_key,
    {{ date_key('s.order_date') }} as order_date_key,
    {{ date_key('s.ship_date') }} as ship_date_key,
    {{ date_key('s.due_date') }} as due_date_key,
    cast(null as integer) as time_key,
    cast(null as bigint) as channel_key,
    s.order_number as order_id,
    'crm' as source_system,
    s.quantity,
    s.price as unit_price,
    {{ usd('s.sales', 's.currency') }} as usd_amount,
    s.currency as source_currency,
    s.sales as source_amount,
    cast(null as varchar) as order_status,
    cast(null as varchar) as payment_method,
    s.order_date,
    s.ship_date,
    s.due_date,
    s._date
from {{ source('silver', 'crm_sales') }} as s
left join {{ ref('dim_customer') }} as c
    on c.source_system = 'crm' and c.customer_id = cast(s.customer_id as varchar)
left join {{ ref('dim_product') }} as dated
    on dated.product_number = s.product_number
    and s.order_date between dated.valid_from and coalesce(dated.valid_to, date '9999-12-31')
left join {{ ref('dim_product') }} as latest
    on latest.product_number = s.product_number and latest.is_current
{{ join_usd_rate('s.currency', 's.order_date', rows=source('silver', 'crm_sales') ~ ' as s') }}
