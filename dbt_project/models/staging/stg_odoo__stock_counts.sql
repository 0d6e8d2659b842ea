-- What the ERP has in its warehouses, by day: the quants of a product at all shelves.
select
    'odoo' as source_system,
    product_code as source_product_id,
    {{ odoo_stock_location('location', 'warehouse') }} as warehouse_location,
    date as day,
    sum(quantity) as counted,
    max(_date) as _date
from {{ source('silver', 'odoo_inventory') }}
where {{ odoo_stock_location('location', 'warehouse') }} is not null
group by all
