-- Nothing is shipped before it is ordered.
select sales_key, order_id, order_date, ship_date
from {{ ref('fact_sales') }}
where ship_date < order_date
