-- A product of the shop is at most one product of the ERP by id or name, and the reverse. Rows of others are not wrong:
-- bridge_product resolves them by its rule. A person may know better, and can give both records the same code at the source.
{{ config(severity='warn') }}
select source_system, source_product_id, matched_by, candidates, _date
from {{ ref('bridge_product') }}
where candidates > 1
