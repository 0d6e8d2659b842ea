-- The amount of a line is quantity times price, within a cent per piece: a price that was computed from the amount is rounded.
-- The rule sales_near_quantity_times_price of crm_sales rejects other rows.
select sales_key, order_id, quantity, unit_price, usd_amount, _date
from {{ ref('fact_sales') }}
where abs(usd_amount - quantity * unit_price) > 0.01 * abs(cast(quantity as bigint))
