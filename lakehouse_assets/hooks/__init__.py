"""Every use of a private name of Dagster, dagster-dbt, PySpark or Python. Each has a fallback for when the name no longer exists.

There is one module per topic. `names.py` declares a `Hook` for each, with the names it uses. `tests/hooks` fails if one of them
no longer exists, and says what is lost without it.
"""
