-- Every record of a customer, one row each.
select 'crm' as source_system, cast(customer_id as varchar) as source_customer_id, _date from {{ source('silver', 'crm_customers') }}
