-- A price is never below zero.
select sales_key, order_id, unit_price
from {{ ref('fact_sales') }}
where unit_price < 0
