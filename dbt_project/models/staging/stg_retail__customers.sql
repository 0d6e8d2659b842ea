-- Customers of the stores and of the mail order business, one row each. The first contact (the smallest number) says who it is.
-- Of a customer without a contact, only the country of the last invoice that has one is known.
with contacts as (
    select *
    from {{ source('silver', 'retail_contacts') }}
    where customer_id is not null
    qualify row_number() over (partition by customer_id order by contact_id) = 1
),
buyers as (
    select
        customer_id,
        max({'invoiced_at': invoiced_at, 'country': country, '_date': _date}) filter (country <> 'n/a') as last_invoice,
        min(_date) as _date
    from {{ source('silver', 'retail_transactions') }}
    where customer_id is not null
    group by customer_id
)
select
    'retail' as source_system,
    cast(coalesce(c.customer_id, b.customer_id) as varchar) as source_customer_id,
    nullif(lower(trim(c.email)), '') as email,
    c.first_name,
    c.last_name,
    nullif(case when c.customer_id is null then b.last_invoice.country else c.country end, 'n/a') as country,
    {{ business_day('c.created_at') }} as registration_date,
    coalesce(c._date, greatest(b._date, b.last_invoice._date)) as _date
from contacts as c
full join buyers as b on b.customer_id = c.customer_id
