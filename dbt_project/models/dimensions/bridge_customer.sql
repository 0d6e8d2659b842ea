-- Which record of a source system is which person, one row per record. The person's key is that of its smallest record; see
-- intermediate/int_persons.sql for the rules of matching, and the seed `person_cuts` for undoing a wrong match.
select
    source_system,
    source_customer_id,
    {{ surrogate_key(["person_system", "person_id"]) }} as person_key,
    matched_by,
    _date
from {{ ref('int_persons') }}
