-- The amount of a line is quantity times price, up to a cent a piece: a price that was worked out of the amount is rounded.
-- The rule sales_near_quantity_times_price of crm_sales keeps other rows out.
select sales_key, order_id, quantity, unit_price, usd_amount, _date
from {{ ref('fact_sales') }}
where abs(usd_amount - quantity * unit_price) > 0.01 * abs(cast(quantity as bigint))
