-- Lines of invoices and receipts. Adjustments of stock and debts are no sales. Nor are fees, which the company pays; postage is left
-- out as the other systems' amounts are without shipping. What takes a line back has negative pieces.
select
    'retail' as source_system,
    invoice_number as order_id,
    line_id,
    cast(customer_id as varchar) as source_customer_id,
    stock_code as source_product_id,
    case channel when 'store' then 'Store' else 'Online' end as channel_name,
    store_id,
    promotion_id,
    invoiced_at as ordered_at,
    {{ business_day('invoiced_at') }} as order_date,
    quantity,
    unit_price,
    coalesce(discount, 0) as discount_amount,
    amount as source_amount,
    currency as source_currency,
    payment_method,
    _date
from {{ source('silver', 'retail_transactions') }}
where transaction_type in ('sale', 'cancellation') and line_kind not in ('postage', 'fee', 'bad debt')
