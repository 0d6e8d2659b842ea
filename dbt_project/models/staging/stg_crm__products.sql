-- Row versions of the CRM's products. The end dates contradict the start dates, so they are left out. The CRM has costs, but no
-- prices.
select
    'crm' as source_system,
    product_number as source_product_id,
    product_number as code,
    product_id,
    product_name,
    category_id,
    product_line,
    cost,
    'USD' as cost_currency,
    start_date,
    _date
from {{ source('silver', 'crm_products') }}
