-- Country and marital status of the persons of whom a record has changed, one row per person, attribute and change: from which day
-- on what holds. The first state of a record has held ever since; of several changes on a day, the last counts. At each change, the
-- first record that says something then says it, as everywhere.
with days as (
    select
        source_system,
        source_customer_id,
        attribute,
        coalesce(greatest(day, date '{{ var("calendar_from") }}'), date '{{ var("calendar_from") }}') as day,
        -- NULL would be the latest.
        arg_max({'value': value}, coalesce(changed_at, timestamp '-infinity'))['value'] as value,
        max(_date) as _date
    from (
        select * from {{ ref('stg_crm__customer_versions') }}
        union all by name
        select * from {{ ref('stg_magento__customer_versions') }}
    )
    group by 1, 2, 3, 4
),
periods as (
    select
        b.person_key,
        d.*,
        case when row_number() over of_record = 1 then date '{{ var("calendar_from") }}' else d.day end as valid_from,
        lead(d.day, 1, date 'infinity') over of_record as before_day
    from days as d
    join {{ ref('bridge_customer') }} as b using (source_system, source_customer_id)
    window of_record as (partition by d.source_system, d.source_customer_id, d.attribute order by d.day)
    qualify count(*) over (partition by d.source_system, d.source_customer_id, d.attribute) > 1
),
moments as (
    select person_key, attribute, valid_from, max(_date) as _date from periods group by all
),
states as (
    select
        t.person_key,
        t.attribute,
        t.valid_from,
        arg_min(
            case
                when p.person_key is not null then p.value
                when t.attribute = 'country' then m.country
                else m.marital_status
            end,
            m.place
        ) as value,
        greatest(max(t._date), max(b._date)) as _date
    from moments as t
    join {{ ref('bridge_customer') }} as b using (person_key)
    join {{ ref('int_members') }} as m using (source_system, source_customer_id)
    left join periods as p
        on p.source_system = m.source_system and p.source_customer_id = m.source_customer_id and p.attribute = t.attribute
        and t.valid_from >= p.valid_from and t.valid_from < p.before_day
    group by t.person_key, t.attribute, t.valid_from
)
select *
from states
qualify row_number() over (partition by person_key, attribute order by valid_from) = 1
    or value is distinct from lag(value) over (partition by person_key, attribute order by valid_from)
