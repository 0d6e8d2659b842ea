{#- The named columns identify a row together; NULL counts as a value of its own. -#}
{% test unique_together(model, columns) %}
select *
from {{ model }}
qualify count(*) over (partition by {{ columns | join(', ') }}) > 1
{% endtest %}
