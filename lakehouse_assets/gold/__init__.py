"""Gold: the star schema and the marts, as dbt models that read silver.

    current silver tables -> a database file per run -> dbt builds and tests there -> models that passed are published as Delta

So readers never see a model that failed its tests, runs share no database file, and a partition whose rows did not change is not
written.
"""
