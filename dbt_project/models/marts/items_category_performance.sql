-- Sales by order month, category, subcategory and brand.
select
    cast(date_trunc('month', case when f.order_date_key <> -1 then f.order_date end) as date) as month,
    p.category,
    coalesce(p.subcategory, 'n/a') as subcategory,
    p.brand,
    count(distinct f.source_system || ' ' || f.order_id) as orders,
    count(distinct p.item_key) as products,
    cast(coalesce(sum(f.quantity) filter (f.quantity > 0), 0) as decimal(18, 4)) as quantity_sold,
    cast(coalesce(-sum(f.quantity) filter (f.quantity < 0), 0) as decimal(18, 4)) as quantity_returned,
    cast(sum(f.quantity) as decimal(18, 4)) as quantity,
    cast(coalesce(-sum(f.usd_amount) filter (f.quantity < 0), 0) as decimal(18, 2)) as usd_returned,
    cast(sum(f.usd_amount) as decimal(18, 2)) as usd_amount,
    max(f._date) as _date
from {{ ref('fact_sales') }} as f
join {{ ref('dim_product') }} as p using (product_key)
where {{ in_changed_parts([sales_month('f')]) }}
group by 1, 2, 3, 4
