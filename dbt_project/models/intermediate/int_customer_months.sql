-- What a person bought in a month, in US dollars, less what went back: one row per person and month; person -1 has the sales
-- whose customer is unknown. Amounts without a rate don't count. `first_sale` and `last_sale` are days on which something was
-- sold, unless that day is after the day on which it landed: such a date is wrong, and would be the newest for long.
with days as (
    select
        source_system,
        source_customer_id,
        source_currency,
        order_date,
        try_cast(sum(source_amount) as decimal(18, 4)) as source_amount,
        bool_or(quantity > 0 and order_date <= _date + 1) as is_sale,
        max(_date) as _date
    from {{ ref('int_sale_lines') }}
    where {{ in_calendar('order_date') }}
    group by source_system, source_customer_id, source_currency, order_date
)
select
    coalesce(b.person_key, -1) as person_key,
    cast(date_trunc('month', d.order_date) as date) as month,
    coalesce(sum({{ usd('d.source_amount', 'd.source_currency', 'decimal(18, 2)') }}), 0) as usd_amount,
    min(d.order_date) filter (d.is_sale) as first_sale,
    max(d.order_date) filter (d.is_sale) as last_sale,
    max(d._date) as _date
from days as d
left join {{ ref('bridge_customer') }} as b
    on b.source_system = d.source_system and b.source_customer_id = d.source_customer_id
{{ join_usd_rate('d.source_currency', 'd.order_date', rows='days as d') }}
group by 1, 2
