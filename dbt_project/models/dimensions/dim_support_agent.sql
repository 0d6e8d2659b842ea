-- One row per agent of the help desk, and the unknown member, to which tickets without an agent belong.
select
    {{ surrogate_key(["source_system", "agent_id"]) }} as agent_key,
    agent_id,
    agent_name,
    department,
    tier,
    is_active,
    email,
    first_name,
    last_name,
    created_at,
    _date
from {{ ref('stg_freshdesk__agents') }}
union all by name
select
    -1 as agent_key,
    'n/a' as agent_id,
    'n/a' as agent_name,
    'n/a' as department,
    'n/a' as tier,
    false as is_active,
    {{ unknown_date() }} as _date
