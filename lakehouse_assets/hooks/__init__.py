"""Every use of a private name of Dagster, dagster-dbt, PySpark or Python. Each has a plain way, which serves where the name is gone.

One file a library's topic. Each declares a `Hook`, which names what it uses; `tests/hooks` fails where one of these is gone, and says
what is lost without it.
"""
