-- Tickets of the help desk. A ticket that is open, or opened again, is not resolved, whatever the help desk still says of the time
-- before. One of the states that a help desk adds itself is as it says.
with tickets as (
    select
        *,
        case
            when status not in ('Open', 'Pending', 'Waiting on Customer', 'Waiting on Third Party') then coalesce(resolved_at, closed_at)
        end as ended_at
    from {{ source('silver', 'freshdesk_tickets') }}
)
select
    'freshdesk' as source_system,
    cast(ticket_id as varchar) as ticket_id,
    cast(requester_id as varchar) as source_customer_id,
    cast(responder_id as varchar) as agent_id,
    source as channel_name,
    created_at,
    {{ business_day('created_at') }} as created_date,
    {{ business_day('ended_at') }} as resolved_date,
    first_response_minutes,
    case when ended_at is not null then resolution_minutes end as resolution_minutes,
    coalesce(priority, 'n/a') as priority,
    coalesce(status, 'n/a') as status,
    coalesce(category, 'n/a') as category,
    reopened_at is not null as reopened,
    coalesce(is_escalated, false) as is_escalated,
    order_number,
    _date
from tickets
