-- Agents of the help desk, each with the name of the first of its groups. The help desk has no tiers: a job title that names one says it
-- ("Tier 2", "L3", "2nd level"), else one that says that the agent leads others, then what the agent may see.
select
    'freshdesk' as source_system,
    cast(a.agent_id as varchar) as agent_id,
    coalesce(a.full_name, a.email, 'n/a') as agent_name,
    a.first_name,
    a.last_name,
    a.email,
    coalesce(g.group_name, 'n/a') as department,
    coalesce(
        'Tier ' || nullif(
            regexp_extract(lower(a.job_title), '\b(?:tier|level|l|t)[ -]?([1-3])\b|\b([1-3])(?:st|nd|rd)[ -](?:tier|level|line)\b', 1)
            || regexp_extract(lower(a.job_title), '\b(?:tier|level|l|t)[ -]?([1-3])\b|\b([1-3])(?:st|nd|rd)[ -](?:tier|level|line)\b', 2),
            ''
        ),
        case
            when regexp_matches(lower(a.job_title), '\b(lead|leader|manager|head|supervisor|director)\b') then 'Tier 3'
            when a.ticket_scope = 'Global' then 'Tier 2'
            when a.ticket_scope in ('Group', 'Restricted') then 'Tier 1'
            else 'n/a'
        end
    ) as tier,
    coalesce(a.is_active, false) as is_active,
    a.created_at,
    greatest(a._date, g._date) as _date
from {{ source('silver', 'freshdesk_agents') }} as a
left join {{ source('silver', 'freshdesk_groups') }} as g using (group_id)
