-- What is counted, moved, sold and corrected in the warehouses of the systems that keep stock. Each system's rows are about its
-- own stock and add up alone. The ERP's delivery of an order of the shop is that sale: in the ERP's stock it counts as sold and
-- not as moved, and in the shop's stock the shop's shipment counts.
with movements as (
    select * from {{ ref('stg_magento__stock_counts') }}
    union all by name
    select * from {{ ref('stg_magento__shipments') }}
    union all by name
    select * from {{ ref('stg_odoo__stock_counts') }}
    union all by name
    select * from {{ ref('stg_odoo__stock_moves') }}
)
select
    source_system,
    source_product_id,
    warehouse_location,
    day,
    cast(counted as decimal(18, 4)) as counted,
    cast(moved_in as decimal(18, 4)) as moved_in,
    cast(moved_out as decimal(18, 4)) as moved_out,
    cast(sold as decimal(18, 4)) as sold,
    cast(corrected as decimal(18, 4)) as corrected,
    _date
from movements
