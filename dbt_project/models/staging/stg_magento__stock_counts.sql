-- What the shop has counted in its sources, by day.
select
    'magento' as source_system,
    sku as source_product_id,
    upper(source_code) as warehouse_location,
    date as day,
    quantity as counted,
    _date
from {{ source('silver', 'magento_inventory') }}
