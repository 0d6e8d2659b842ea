-- One row per channel of sales or tickets, and the unknown member.
select
    {{ surrogate_key(["'channel'", "channel_name"]) }} as channel_key,
    channel_name,
    channel_type,
    description,
    is_active,
    {{ unknown_date() }} as _date
from {{ ref('channels') }}
union all by name
select -1 as channel_key, 'n/a' as channel_name, 'n/a' as channel_type, 'Unknown' as description, false as is_active, {{ unknown_date() }} as _date
