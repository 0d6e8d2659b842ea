{#- dbt's column tests, changed to return whole rows, so that a failed test can report rows and dates. -#}
{% macro default__test_unique(model, column_name) %}
select *
from {{ model }}
where {{ column_name }} in (select {{ column_name }} from {{ model }} group by 1 having count(*) > 1)
{% endmacro %}

{% macro default__test_not_null(model, column_name) %}
select *
from {{ model }}
where {{ column_name }} is null
{% endmacro %}

{% macro default__test_accepted_values(model, column_name, values, quote=True) %}
select *
from {{ model }}
where {{ column_name }} not in ({% for value in values %}{{ "'" ~ value ~ "'" if quote else value }}{{ ", " if not loop.last }}{% endfor %})
{% endmacro %}

{% macro default__test_relationships(model, column_name, to, field) %}
select *
from {{ model }}
where {{ column_name }} not in (select {{ field }} from {{ to }} where {{ field }} is not null)
{% endmacro %}
