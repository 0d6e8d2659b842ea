-- One row per person: what was bought and asked, and when we last heard of the person. Days outside the calendar count for no
-- day, as everywhere. The row of the unknown member has what nobody is known for, so that totals equal those of the facts.
with bought as (
    select
        customer_key,
        source_system,
        order_id,
        sum(quantity) as quantity,
        sum(usd_amount) as usd_amount,
        min(order_date) filter (order_date_key <> -1) as first_order_date,
        max(order_date) filter (order_date_key <> -1) as last_order_date,
        max(_date) as _date
    from {{ ref('fact_sales') }}
    group by customer_key, source_system, order_id
),
orders as (
    select
        v.person_key,
        count(distinct b.source_system || '|' || b.order_id) as orders,
        sum(b.quantity) as quantity,
        sum(b.usd_amount) as usd_amount,
        min(b.first_order_date) as first_order_date,
        max(b.last_order_date) as last_order_date,
        max(b._date) as _date
    from bought as b
    join {{ ref('dim_customer') }} as v on v.customer_key = b.customer_key
    group by v.person_key
),
tickets as (
    select
        v.person_key,
        count(*) as tickets,
        count(*) filter (t.status not in ('Resolved', 'Closed')) as open_tickets,
        max(d.date_value) as last_ticket_date,
        max(t._date) as _date
    from {{ ref('fact_support_tickets') }} as t
    join {{ ref('dim_customer') }} as v on v.customer_key = t.customer_key
    left join {{ ref('dim_date') }} as d on d.date_key = t.ticket_created_date_key
    group by v.person_key
)
select
    c.person_key,
    c.customer_key,
    c.first_name,
    c.last_name,
    c.email,
    c.country,
    c.customer_segment,
    c.is_active,
    coalesce(o.orders, 0) as orders,
    coalesce(o.quantity, 0) as quantity,
    cast(coalesce(o.usd_amount, 0) as decimal(18, 2)) as usd_amount,
    o.first_order_date,
    o.last_order_date,
    coalesce(t.tickets, 0) as tickets,
    coalesce(t.open_tickets, 0) as open_tickets,
    t.last_ticket_date,
    greatest(o.last_order_date, t.last_ticket_date) as last_contact_date,
    greatest(c._date, o._date, t._date) as _date
from {{ ref('dim_customer') }} as c
left join orders as o on o.person_key = c.person_key
left join tickets as t on t.person_key = c.person_key
where c.is_current
