-- Categories to which the CRM's products belong.
select * from {{ source('silver', 'erp_product_categories') }}
