"""What must hold whatever a store or a disk does."""

from lakehouse_assets.delta.tables import live_files, open_table
from lakehouse_assets.store.root import Root


def check_no_trace(said: str) -> None:
    """Nobody who reads this sees the insides of a program."""
    for sign in ("Traceback", "panicked", "\x1b[", "object at 0x"):
        assert sign not in said, said[-3000:]


def missing_files(root: Root) -> list[str]:
    """The files that a table names and that are gone."""
    there = {path for path, _ in root.files("")}
    tables = [(layer, name) for layer in ("raw", "silver", "gold", "ops", "quarantine") for name in root.table_names(layer)]
    opened = ((layer, name, open_table(root.table(layer, name))) for layer, name in tables)
    named = (f"{layer}/{name}/{file['path']}" for layer, name, table in opened if table is not None for file in live_files(table))
    return [path for path in named if path not in there]


CUSTOMERS = """cst_id,cst_key,cst_firstname,cst_lastname,cst_marital_status,cst_gndr,cst_create_date
1,AW1,Ann,One,S,F,2026-01-01
2,AW2,Bob,Two,S,M,2026-01-01
"""

CATEGORIES = """ID,CAT,SUBCAT,MAINTENANCE
AC_BR,Accessories,Bike Racks,Yes
CO_RF,Components,Road Frames,Yes
,Nothing,Nothing,No
"""
"""A file of `erp/product_categories`, from which alone no model is built. A row without a key goes to quarantine."""
