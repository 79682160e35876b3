{#- A daily view without or with the rows observed late. They are two views, because a gain since a
    late row mixes two days: filtering the second one would not give the first. -#}
{%- macro daily_source(view) -%}
    {%- if var('tiktok_stores_include_late') -%}
        {{ source('tiktok_stores', view ~ '_with_late') }}
    {%- else -%}
        {{ source('tiktok_stores', view) }}
    {%- endif -%}
{%- endmacro -%}

{%- macro is_late() -%}
    {%- if var('tiktok_stores_include_late') -%} is_late {%- else -%} false {%- endif -%}
{%- endmacro -%}
