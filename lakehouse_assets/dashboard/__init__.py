"""The dashboard: pages in the browser over gold and the books. Read-only; needs neither Dagster nor an engine.

`data/` asks DuckDB, as pure functions of a connection and the filters; `pages/` shows what they return; `app.py` is what Streamlit
runs. A number on a page is one that `lakehouse query` returns.
"""
