-- The amount of a line is quantity times price less discount, up to a cent, in the currency of the source. It holds by construction:
-- what is more than a cent off in the source, of which silver warns, is part of the discount.
select sales_key, source_system, order_id, quantity, unit_price, discount_amount, source_amount, _date
from {{ ref('fact_sales') }}
where abs(cast(quantity as decimal(20, 4)) * unit_price - discount_amount - source_amount) > 0.01
