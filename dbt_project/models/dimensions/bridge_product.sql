-- Which product of a source system is which product of the company.
select
    'crm' as source_system,
    product_number as source_product_id,
    {{ surrogate_key(["'crm'", "product_number"]) }} as item_key,
    'itself' as matched_by,
    max(_date) as _date
from {{ source('silver', 'crm_products') }}
group by product_number
