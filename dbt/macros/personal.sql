{#- A column that names a person or a store, or NULL: the role analyst may not read it. -#}
{%- macro personal(column) -%}
    {%- if var('tiktok_stores_include_names') -%} {{ column }} {%- else -%} cast(null as text) {%- endif -%}
{%- endmacro -%}
