-- Prices are not negative: what is returned, canceled or taken off has a negative quantity. The rules of silver reject other rows.
select sales_key, source_system, order_id, unit_price, _date
from {{ ref('fact_sales') }}
where unit_price < 0
