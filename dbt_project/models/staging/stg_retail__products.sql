-- Stock codes of invoices and receipts, which are all that says what is sold. Name and price are those of the latest sale at a
-- price; of a code that was never sold, those of its latest line: a line that writes off stock often has a remark in place of the
-- name.
with lines as (
    select
        *,
        coalesce(transaction_type = 'sale' and unit_price > 0, false) as is_sale,
        -- NULL would be the latest.
        coalesce(invoiced_at, timestamptz '-infinity') as moment
    from {{ source('silver', 'retail_transactions') }}
    where stock_code is not null
),
codes as (
    select
        stock_code,
        max(line_kind) as line_kind,
        arg_max(
            {'name': description, '_date': _date},
            {'is_sale': is_sale, 'at': moment, 'line': line_id}
        ) filter (description is not null) as named,
        arg_max({'price': unit_price, 'currency': currency, '_date': _date}, {'at': moment, 'line': line_id})
            filter (is_sale) as priced,
        min(_date) as first_date
    from lines
    group by stock_code
)
select
    'retail' as source_system,
    stock_code as source_product_id,
    stock_code as product_id,
    named['name'] as product_name,
    nullif(line_kind, 'product') as category,
    case when line_kind <> 'product' then 'Service' end as product_type,
    priced['price'] as price,
    priced['currency'] as currency,
    greatest(named['_date'], priced['_date'], first_date) as _date
from codes
