-- Every record of a customer, of all systems, one row each, with the keys by which records of one person are found:
--   address_key   the e-mail address; NULL where it has not the form of one, so that `n/a` links nobody
--   name_key      letters and digits of first and last name, without accents and case; NULL unless both are known. It never
--                 counts without country and birth date.
--   place         the order in which records of one person speak: crm (with the ERP), magento, freshdesk, retail, odoo, storefront,
--                 then the smallest id
-- A system that says nothing of a column leaves it out: it is NULL here.
with members as (
    {%- for system in ["crm", "magento", "freshdesk", "retail", "storefront", "odoo"] %}
    select * from {{ ref("stg_" ~ system ~ "__customers") }}
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
)
select
    *,
    case when regexp_full_match(email, '[^@\s]+@[^@\s]+\.[^@\s]+') then email end as address_key,
    case
        when lower(first_name) <> 'n/a' and lower(last_name) <> 'n/a' then
            nullif(regexp_replace(strip_accents(lower(first_name || last_name)), '[^\p{L}\p{N}]', '', 'g'), '')
    end as name_key,
    case source_system
        when 'crm' then 'a' when 'magento' then 'b' when 'freshdesk' then 'c' when 'retail' then 'd' when 'odoo' then 'e' else 'f'
    end || source_customer_id as place
from members
