"""Feeds of four systems, each in the dialects that it speaks, and their sample files in `tests/data/dialects/`."""

from pathlib import Path

from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json

SAMPLES = Path(__file__).parent.parent / "data" / "dialects"


def columns(*names: str, optional: tuple[str, ...] = ()) -> tuple[SourceColumn, ...]:
    """Columns, without a description."""
    return (*(SourceColumn(name, "") for name in names), *(SourceColumn(name, "", required=False) for name in optional))


_TICKET = ("id", "subject", "status", "priority", "requester_id", "company_id", "type", "created_at", "fr_due_by", "store")

TICKETS = Feed(
    "freshdesk/tickets",
    columns(*_TICKET),
    Json(),
    dialects=(
        Dialect(
            "v1",
            unwrap="helpdesk_ticket",
            columns={"id": "display_id", "type": "ticket_type", "store": "custom_field.store_4711"},
        ),
        Dialect("v2", told_by=("id", "created_at"), columns={"store": "custom_fields.cf_store"}, omits_nulls=True),
    ),
)
TICKET_EXPORTS = Feed(
    "freshdesk/ticket_exports",
    columns(*_TICKET),
    Csv(),
    dialects=(
        Dialect(
            "labels",
            told_by=("Ticket ID", "Created time"),
            columns={"id": "Ticket ID", "created_at": "Created time", "fr_due_by": "Initial response due by"},
        ),
    ),
)
ORDERS = Feed(
    "magento/orders",
    columns("increment_id", "status", "customer_email", "grand_total", "currency", "created_at", "city", "items"),
    Json(),
    dialects=(
        Dialect(
            "rest_1",
            unwrap="#",
            columns={
                "customer_email": "addresses.0.email",
                "city": "addresses.0.city",
                "currency": "order_currency_code",
                "items": "order_items",
            },
            lists=("order_items",),
        ),
        Dialect(
            "rest_2",
            told_by=("increment_id", "items"),
            columns={"city": "billing_address.city", "currency": "order_currency_code"},
        ),
    ),
)
_PRODUCT = ("id", "default_code", "name", "category", "list_price", "qty_available")

PRODUCTS = Feed(
    "odoo/products",
    columns(*_PRODUCT, optional=("category_id",)),
    Json(),
    dialects=(
        Dialect("search_read", told_by=("id", "categ_id.1"), columns={"category_id": "categ_id.0", "category": "categ_id.1"}),
        Dialect(
            "web_search_read",
            told_by=("id", "categ_id.display_name"),
            columns={"category_id": "categ_id.id", "category": "categ_id.display_name"},
            omits_nulls=True,
        ),
    ),
)
PRODUCT_EXPORTS = Feed(
    "odoo/product_exports",
    columns(*_PRODUCT),
    Csv(),
    dialects=(
        Dialect("import_compatible", told_by=("id", "default_code"), columns={"category": "categ_id/name"}),
        Dialect(
            "labels",
            told_by=("Internal Reference",),
            columns={
                "default_code": "Internal Reference",
                "category": "Product Category",
                "list_price": "Sales Price",
                "qty_available": "Quantity On Hand",
            },
        ),
    ),
)
STATIONS = Feed(
    "bikes/velib_stations",
    columns("stationcode", "is_installed", "bikes", "mechanical", "ebike", "duedate", optional=("name", "capacity")),
    Json(),
    dialects=(
        Dialect("explore_1", unwrap="fields", columns={"bikes": "numbikesavailable"}),
        Dialect(
            "gbfs",
            told_by=("station_id", "last_reported"),
            columns={
                "bikes": "num_bikes_available",
                "mechanical": "num_bikes_available_types.0.mechanical",
                "ebike": "num_bikes_available_types.1.ebike",
                "duedate": "last_reported",
            },
        ),
        Dialect("explore_2", told_by=("stationcode", "duedate"), columns={"bikes": "numbikesavailable"}),
    ),
)
FILES = {
    "freshdesk_v1.jsonl": (TICKETS, "v1"),
    "freshdesk_v2.jsonl": (TICKETS, "v2"),
    "freshdesk_v2_without_nulls.jsonl": (TICKETS, "v2"),
    "freshdesk_export.csv": (TICKET_EXPORTS, "labels"),
    "magento_1.jsonl": (ORDERS, "rest_1"),
    "magento_2.jsonl": (ORDERS, "rest_2"),
    "odoo_search_read.jsonl": (PRODUCTS, "search_read"),
    "odoo_web_search_read.jsonl": (PRODUCTS, "web_search_read"),
    "odoo_import_compatible.csv": (PRODUCT_EXPORTS, "import_compatible"),
    "odoo_labels.csv": (PRODUCT_EXPORTS, "labels"),
    "velib_v1.jsonl": (STATIONS, "explore_1"),
    "velib_v21.jsonl": (STATIONS, "explore_2"),
    "velib_gbfs.jsonl": (STATIONS, "gbfs"),
}
"""The sample files, each with its feed and its dialect."""
