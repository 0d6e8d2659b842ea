-- Nothing is shipped before it is ordered. Only the CRM says when it ships; its rule ship_date_not_before_order_date rejects such rows.
select sales_key, source_system, order_id, order_date, ship_date, _date
from {{ ref('fact_sales') }}
where ship_date < order_date
