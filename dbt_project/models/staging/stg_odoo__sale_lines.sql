-- Order lines of the ERP that are sold: quotations and canceled orders are no sales. A line with a price below 0 is a discount: it
-- takes back pieces at a positive price. A line of a return has pieces below 0, one that was canceled has none.
select
    'odoo' as source_system,
    coalesce(o.order_number, cast(l.order_id as varchar)) as order_id,
    cast(l.line_id as varchar) as line_id,
    cast(o.partner_id as varchar) as source_customer_id,
    l.product_code as source_product_id,
    'ERP' as channel_name,
    o.origin,
    o.ordered_at,
    {{ business_day('o.ordered_at') }} as order_date,
    case when l.price_unit < 0 then -l.quantity else l.quantity end as quantity,
    abs(l.price_unit) as unit_price,
    -- Products of two decimals of at most 18 digits have 18: a wider factor makes it 38.
    cast(l.quantity as decimal(20, 4)) * l.price_unit - l.subtotal as discount_amount,
    l.subtotal as source_amount,
    o.currency as source_currency,
    l._date
from {{ source('silver', 'odoo_sale_order_lines') }} as l
join {{ source('silver', 'odoo_sale_orders') }} as o using (order_id)
where o.state in ('sale', 'done')
