-- Promotions of the stores and of the mail order business.
select 'retail' as source_system, * from {{ source('silver', 'retail_promotions') }}
