{#- Whether a day is a federal holiday of the United States, by 5 U.S.C. 6103 (the days themselves, not substitute days). -#}
{% macro is_us_federal_holiday(day) -%}
    case
        when month({{ day }}) = 1 then day({{ day }}) = 1 or (isodow({{ day }}) = 1 and day({{ day }}) between 15 and 21)
        when month({{ day }}) = 2 then isodow({{ day }}) = 1 and day({{ day }}) between 15 and 21
        when month({{ day }}) = 5 then isodow({{ day }}) = 1 and day({{ day }}) >= 25
        when month({{ day }}) = 6 then day({{ day }}) = 19 and year({{ day }}) >= 2021
        when month({{ day }}) = 7 then day({{ day }}) = 4
        when month({{ day }}) = 9 then isodow({{ day }}) = 1 and day({{ day }}) <= 7
        when month({{ day }}) = 10 then isodow({{ day }}) = 1 and day({{ day }}) between 8 and 14
        when month({{ day }}) = 11 then day({{ day }}) = 11 or (isodow({{ day }}) = 4 and day({{ day }}) between 22 and 28)
        when month({{ day }}) = 12 then day({{ day }}) = 25
        else false
    end
{%- endmacro %}
