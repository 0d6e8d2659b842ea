{#- Models that are built from what has changed. `materialized: by_change` says that a model can be; `meta.parts` names the columns by
    which its rows fall into parts, each with SQL over the model's own columns. No part may be NULL. The macro
    `changed_parts_of_<model>` is a query for the parts that may differ from the published ones, too many rather than too few. The
    model computes only these, by the condition `in_changed_parts`. All other rows are those of `run.live.<model>`, as published.
    A run says in `run.changed` which models it may build so, see gold/changes.py; otherwise a model is built whole, like any table. -#}

{#- Whether this run builds the model that is being compiled from what has changed. -#}
{% macro follows_changes() -%}
    {%- if not execute or not env_var('LAKEHOUSE_GOLD_DATABASE', '') -%}{{ return(false) }}{%- endif -%}
    {%- if not _has_table('changed', 'models') -%}{{ return(false) }}{%- endif -%}
    {{ return(run_query("select 1 from run.changed.models where model = '" ~ model.name ~ "'") | length > 0) }}
{%- endmacro %}

{#- A condition on the rows of the model that is being compiled: they lie in a changed part. `columns` is SQL for each of its parts. Finds
    the changed parts first, which is why a model has it once. -#}
{% macro in_changed_parts(columns) -%}
    {%- if not follows_changes() -%}{{ return('true') }}{%- endif -%}
    {%- set parts = 'run.changed.' ~ model.name ~ '_parts' -%}
    {%- set query = context['changed_parts_of_' ~ model.name]() -%}
    {%- do run_query('create or replace table ' ~ parts ~ ' as select distinct * from (' ~ query ~ ')') -%}
    {{ _in_parts(columns) }}
{%- endmacro %}

{#- A condition on rows: they lie in one of the changed parts. A few dates are listed, so that DuckDB opens no file of another. -#}
{% macro _in_parts(columns) -%}
    {%- set names = config.get('meta')['parts'].keys() | list | join(', ') -%}
    {%- set parts = 'run.changed.' ~ model.name ~ '_parts' -%}
    {%- if columns | length == 1 -%}
        {%- set dates = run_query('select cast(' ~ names ~ ' as varchar) from ' ~ parts ~ ' where typeof(' ~ names ~ ") = 'DATE' limit 1001") -%}
        {%- if 0 < dates | length <= 1000 -%}
            {{ return(columns[0] ~ " in (date '" ~ dates.columns[0].values() | join("', date '") ~ "')") }}
        {%- endif -%}
    {%- endif -%}
    {{ return('(' ~ columns | join(', ') ~ ') in (select (' ~ names ~ ') from ' ~ parts ~ ')') }}
{%- endmacro %}

{% materialization by_change, adapter='duckdb' -%}
    {%- if not follows_changes() -%}{{ return(materialization_table_duckdb()) }}{%- endif -%}
    {%- set target = this.incorporate(type='view') -%}
    {%- set live = 'run.live.' ~ model.name -%}
    {%- set is_changed = _in_parts(config.get('meta')['parts'].values() | list) -%}
    {%- set computed = api.Relation.create(database='run', schema='changed', identifier=model.name, type='table') -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') -%}
        {{ create_table_as(False, computed, compiled_code) }}
    {%- endcall -%}
    {%- call statement('dates') -%}
        create table run.changed.{{ model.name }}_dates as
        select _date from {{ computed }} union select _date from {{ live }} where {{ is_changed }}
    {%- endcall -%}
    {%- call statement('view') -%}
        create or replace view {{ target }} as
        select * from {{ live }} where not coalesce({{ is_changed }}, false) union all by name select * from {{ computed }}
    {%- endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{#- Whether this run builds another model anew, so that its rows may differ from those in `run.live`. -#}
{% macro is_rebuilt(name) -%}
    {{ return(_has_table('gold', name)) }}
{%- endmacro %}

{#- The dates on which one of some silver tables has changed since the model that is being compiled was built, as a query; no rows
    where none has. -#}
{% macro changed_dates(sources) -%}
    select _date from run.changed.dates where model = '{{ model.name }}' and source in ('{{ sources | join("', '") }}')
{%- endmacro %}

{#- Whether one of some silver tables has changed since the model that is being compiled was built. -#}
{% macro has_changed(sources) -%}
    {{ return(run_query(changed_dates(sources)) | length > 0) }}
{%- endmacro %}

{#- The rows of some columns of a model that are only published or only in this run, as a query. -#}
{% macro differing_rows(name, columns) -%}
    {%- set listed = columns | join(', ') -%}
    (select {{ listed }} from run.live.{{ name }} except select {{ listed }} from {{ ref(name) }})
    union
    (select {{ listed }} from {{ ref(name) }} except select {{ listed }} from run.live.{{ name }})
{%- endmacro %}

{#- Whether this run has built another model from what has changed. -#}
{% macro is_changed_in_run(name) -%}
    {{ return(_has_table('changed', name ~ '_dates')) }}
{%- endmacro %}

{#- Whether the run's database has a table of this name; a view is none. -#}
{% macro _has_table(schema, name) -%}
    {{ return(run_query(
        "select 1 from duckdb_tables() where database_name = 'run' and schema_name = '" ~ schema ~ "' and table_name = '" ~ name ~ "'"
    ) | length > 0) }}
{%- endmacro %}
