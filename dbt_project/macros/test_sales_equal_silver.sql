{#- Lines, pieces and amounts of fact_sales equal those of silver by system, channel, day and currency, to the cent. Silver's are counted
    here on their own, by order where that is simpler, and know nothing of the staging models. -#}
{% test sales_equal_silver(model) %}
with shop as (
    -- A line of the web shop, and how many pieces of it went.
    select
        o.currency,
        {{ business_day('o.created_at') }} as day,
        i._date,
        i.quantity,
        coalesce(i.quantity_refunded, 0) as refunded,
        if(o.state = 'canceled', i.quantity, coalesce(i.quantity_canceled, 0)) as canceled,
        least(refunded + canceled, i.quantity) as gone,
        i.row_total,
        coalesce(i.discount_amount, 0) as discount
    from {{ source('silver', 'magento_order_items') }} as i
    join {{ source('silver', 'magento_orders') }} as o on o.order_id = i.order_id
    where i.parent_item_id is null
),
fulfilled as (
    select s.order_id
    from (select order_id, unnest(string_split(origin, ',')) as part from {{ source('silver', 'odoo_sale_orders') }}) as s
    join {{ source('silver', 'magento_orders') }} as o on o.order_number = trim(s.part)
),
baskets as (
    select order_id, count(*) as items, max(_date) as _date from {{ source('silver', 'storefront_order_items') }} group by 1
),
silver as (
    select 'crm' as source_system, 'Sales force' as channel, order_date as day, currency, 1 as lines, quantity, sales as amount, _date
    from {{ source('silver', 'crm_sales') }}
    union all
    select
        'magento', 'Web shop', day, currency, 1 + (refunded > 0)::int + (canceled > 0 and refunded < quantity)::int, quantity - gone,
        row_total - {{ share('row_total', 'gone') }} - (discount - {{ share('discount', 'gone') }}), _date
    from shop
    union all
    select
        'odoo', 'ERP', {{ business_day('o.ordered_at') }}, o.currency, 1, if(l.price_unit < 0, -l.quantity, l.quantity),
        l.subtotal, l._date
    from {{ source('silver', 'odoo_sale_order_lines') }} as l
    join {{ source('silver', 'odoo_sale_orders') }} as o on o.order_id = l.order_id
    where o.state not in ('draft', 'sent', 'cancel') and o.order_id not in (from fulfilled)
    union all
    select
        'storefront', 'Storefront', {{ business_day('o.order_timestamp') }}, o.currency, coalesce(b.items, 1), null,
        o.total_amount, coalesce(b._date, o._date)
    from {{ source('silver', 'storefront_orders') }} as o
    left join baskets as b on b.order_id = o.order_id
    union all
    select
        'retail', if(channel = 'store', 'Store', 'Online'), {{ business_day('invoiced_at') }}, currency, 1, quantity, amount, _date
    from {{ source('silver', 'retail_transactions') }}
    where transaction_type <> 'adjustment' and line_kind in ('product', 'voucher', 'sample', 'manual', 'discount')
    union all
    select 'orders', 'Order stream', {{ business_day('ordered_at') }}, currency, 1, quantity, total, _date
    from {{ source('silver', 'orders_events') }}
),
expected as (
    select source_system, channel, day, currency, sum(lines) as lines, sum(quantity) as quantity, sum(amount) as amount, max(_date) as _date
    from silver
    group by all
),
actual as (
    select
        f.source_system,
        c.channel_name as channel,
        f.order_date as day,
        f.source_currency as currency,
        count(*) as lines,
        sum(f.quantity) filter (not f.amount_is_allocated) as quantity,
        sum(f.source_amount) as amount,
        max(f._date) as _date
    from {{ model }} as f
    left join {{ ref('dim_channel') }} as c on c.channel_key = f.channel_key
    group by all
)
select
    coalesce(e.source_system, a.source_system) || ': ' || coalesce(e.channel, a.channel, 'no channel')
        || coalesce(' on ' || coalesce(e.day, a.day), ' without a day') || coalesce(' in ' || coalesce(e.currency, a.currency), '') as sales,
    e.lines as expected_lines,
    a.lines,
    e.quantity as expected_quantity,
    a.quantity,
    e.amount as expected_amount,
    a.amount,
    coalesce(e._date, a._date) as _date
from expected as e
full join actual as a
    on a.source_system = e.source_system and a.channel = e.channel and a.day is not distinct from e.day
    and a.currency is not distinct from e.currency
where e.lines is distinct from a.lines or e.quantity is distinct from a.quantity or e.amount is distinct from a.amount
{% endtest %}
