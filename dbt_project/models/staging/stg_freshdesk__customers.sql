-- Contacts of the help desk, one row each. `shop_customer_id` is their number in the web shop. The help desk knows no country.
select
    'freshdesk' as source_system,
    cast(customer_id as varchar) as source_customer_id,
    nullif(lower(trim(email)), '') as email,
    first_name,
    last_name,
    {{ business_day('created_at') }} as registration_date,
    is_active and not coalesce(is_deleted, false) as is_active,
    nullif(trim(external_id), '') as shop_customer_id,
    _date
from {{ source('silver', 'freshdesk_customers') }}
