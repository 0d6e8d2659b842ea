-- Nothing is shipped before it is ordered. The rule ship_date_not_before_order_date of crm_sales rejects such rows.
select sales_key, order_id, order_date, ship_date, _date
from {{ ref('fact_sales') }}
where ship_date < order_date
