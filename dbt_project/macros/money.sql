{#- Joins the exchange rate that a row's amounts need, to use with `usd`: the rate of the day, or the last earlier one. `rows` is what
    stands after `from`.

        select {{ usd('s.amount', 's.currency') }} as usd_amount
        from {{ source('silver', 'crm_sales') }} as s
        {{ join_usd_rate('s.currency', 's.order_date', rows=source('silver', 'crm_sales') ~ ' as s') }}

    No row is added or lost. Without a table of rates, only amounts in US dollars are known. -#}
{% macro join_usd_rate(currency, day, rows) -%}
{#- An ASOF join sorts its rows in memory. Of all rows there are few currencies and days. -#}
left join (
    select days.currency, days.day, rates.usd_rate
    from (select distinct {{ currency }} as currency, {{ day }} as day from {{ rows }}) as days
    asof join {{ source('silver', 'finance_exchange_rates') }} as rates on rates.currency = days.currency and rates.date <= days.day
) as usd_rates on usd_rates.currency = {{ currency }} and usd_rates.day = {{ day }}
{%- endmacro %}

{#- An amount in US dollars, rounded half up; NULL if its currency has no rate on that day or before, or if the type can't hold it.
    Decimals of at most 18 digits would be multiplied in 18 digits: a wider rate makes it 38. US dollars are spared that, which
    takes ten times as long. -#}
{% macro usd(amount, currency, type='decimal(12,2)') -%}
    case
        when {{ currency }} = 'USD' then try_cast({{ amount }} as {{ type }})
        else try_cast({{ amount }} * cast(usd_rates.usd_rate as decimal(19, 8)) as {{ type }})
    end
{%- endmacro %}

{#- Each amount could be converted to US dollars. The rows returned name the rates that are missing, as `EUR on 2026-01-05`. -#}
{% test usd_rates_known(model, amount, source_amount, currency, day) %}
select
    coalesce({{ currency }}, 'no currency') || ' on ' || coalesce(cast({{ day }} as varchar), 'an unknown day') as rate,
    count(*) as amounts,
    _date
from {{ model }}
where {{ amount }} is null and {{ source_amount }} is not null
group by all
{% endtest %}
