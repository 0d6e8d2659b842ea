-- One row per ticket of the help desk. The customer is the row version valid on the day on which the ticket was created; where there is
-- none, the current one. Minutes are those of the calendar, rounded down.
-- depends_on: {{ ref('dim_date') }}, {{ ref('dim_time') }}, which have the days and minutes that the keys refer to
select
    {{ surrogate_key(["t.source_system", "t.ticket_id"]) }} as support_key,
    coalesce(dated_customer.customer_key, customer.customer_key, -1) as customer_key,
    coalesce(agent.agent_key, -1) as agent_key,
    {{ date_key('t.created_date') }} as ticket_created_date_key,
    {{ date_key('t.resolved_date') }} as ticket_resolved_date_key,
    coalesce(channel.channel_key, -1) as channel_key,
    t.ticket_id,
    t.source_system,
    t.first_response_minutes,
    coalesce({{ time_key('t.created_at') }}, -1) as time_key,
    t.priority,
    t.status,
    t.category,
    t.resolution_minutes,
    t.reopened,
    t.is_escalated,
    t.order_number,
    t._date
from {{ ref('stg_freshdesk__tickets') }} as t
left join {{ ref('bridge_customer') }} as person
    on person.source_system = t.source_system and person.source_customer_id = t.source_customer_id
left join {{ ref('dim_customer') }} as dated_customer
    on dated_customer.person_key = person.person_key
    and t.created_date between dated_customer.valid_from and coalesce(dated_customer.valid_to, date '9999-12-31')
left join {{ ref('dim_customer') }} as customer
    on customer.person_key = person.person_key and customer.is_current
left join {{ ref('dim_support_agent') }} as agent on agent.agent_id = t.agent_id
left join {{ ref('dim_channel') }} as channel on channel.channel_name = t.channel_name
