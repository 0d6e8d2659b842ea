from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.documentation.tables_page import PAGE, current_page, tables_page
from tests.support.dialects import TICKETS


def test_the_docs_page_on_tables_is_what_contracts_and_models_say():
    assert PAGE.read_text() == current_page(), "run `make docs`"


def test_the_page_says_what_the_dialects_of_a_feed_call_its_columns():
    table = SilverTable(
        Contract("desk", "Desk.", "team:desk", (Column("id", "int", ""),), ("id",)), (Input(TICKETS, lambda raw: raw),)
    )
    page = tables_page([System("freshdesk", "Desk.", (table,))], {"nodes": {}})
    assert "| v1 | helpdesk_ticket | id display_id, type ticket_type, store custom_field.store_4711 |" in page
