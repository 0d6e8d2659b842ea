-- Stores with a till.
select 'retail' as source_system, * from {{ source('silver', 'retail_stores') }}
