-- Prices are not negative. The rule price_not_negative of crm_sales rejects other rows.
select sales_key, order_id, unit_price, _date
from {{ ref('fact_sales') }}
where unit_price < 0
