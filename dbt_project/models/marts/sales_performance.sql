-- Sales of all systems by order month, customer country and product line. An order counts once in each group that it has lines in; so
-- does a customer, whatever row versions its orders refer to. Who is unknown is no customer.
select
    cast(date_trunc('month', case when f.order_date_key <> -1 then f.order_date end) as date) as month,
    coalesce(c.country, 'n/a') as country,
    coalesce(p.product_line, 'n/a') as product_line,
    count(distinct f.source_system || ' ' || f.order_id) as orders,
    count(distinct c.person_key) filter (c.person_key <> -1) as customers,
    cast(sum(f.quantity) as bigint) as quantity,
    cast(sum(f.usd_amount) as decimal(18, 2)) as usd_amount,
    max(f._date) as _date
from {{ ref('fact_sales') }} as f
left join {{ ref('dim_customer') }} as c using (customer_key)
left join {{ ref('dim_product') }} as p using (product_key)
where {{ in_changed_parts([sales_month('f')]) }}
group by 1, 2, 3
