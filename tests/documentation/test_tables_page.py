from lakehouse_assets.documentation.tables_page import PAGE, current_page


def test_the_docs_page_on_tables_is_what_contracts_and_models_say():
    assert PAGE.read_text() == current_page(), "run `make docs`"
