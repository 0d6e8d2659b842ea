-- Which record of a source system is which person.
select
    source_system,
    source_customer_id,
    {{ surrogate_key(["source_system", "source_customer_id"]) }} as person_key,
    'itself' as matched_by,
    _date
from {{ ref('int_members') }}
