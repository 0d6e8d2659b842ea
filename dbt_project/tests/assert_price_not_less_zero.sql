-- A price is never below zero. The rule price_not_negative of crm_sales keeps such rows out.
select sales_key, order_id, unit_price, _date
from {{ ref('fact_sales') }}
where unit_price < 0
