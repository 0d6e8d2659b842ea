{#- The totals of a model equal those of the fact that it is made of, by some columns that both have. `totals` gives the fact's: the
    model's own is the sum of the column of that name. The rows returned name the group, and what is expected there. -#}
{% test adds_up_to(model, fact, totals, by=[]) %}
with own as (
    select {% for column in by %}{{ column }}, {% endfor -%}
    {%- for total in totals %}sum({{ total }}) as {{ total }}{{ ", " if not loop.last }}{% endfor %}, max(_date) as _date
    from {{ model }}
    group by all
),
fact as (
    select {% for column in by %}{{ column }}, {% endfor -%}
    {%- for total, sum in totals.items() %}{{ sum }} as {{ total }}{{ ", " if not loop.last }}{% endfor %}, max(_date) as _date
    from {{ fact }}
    group by all
)
select
    {% for column in by %}coalesce(own.{{ column }}, fact.{{ column }}) as {{ column }}, {% endfor -%}
    {% for total in totals %}own.{{ total }}, fact.{{ total }} as expected_{{ total }}, {% endfor -%}
    coalesce(own._date, fact._date) as _date
from own
full join fact on true{% for column in by %} and own.{{ column }} is not distinct from fact.{{ column }}{% endfor %}
where {% for total in totals %}own.{{ total }} is distinct from fact.{{ total }}{{ " or " if not loop.last }}{% endfor %}
{% endtest %}
