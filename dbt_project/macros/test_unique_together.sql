{#- The columns together are unique; NULL counts as a value. -#}
{% test unique_together(model, columns) %}
select *
from {{ model }}
qualify count(*) over (partition by {{ columns | join(', ') }}) > 1
{% endtest %}
