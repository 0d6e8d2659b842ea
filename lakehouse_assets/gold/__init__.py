"""Gold: the star schema and the marts, as dbt models that read silver.

    silver tables, as they stand -> a database file of the run's own -> dbt builds and tests there -> what passed becomes Delta

So nobody sees a model that failed its tests, runs share no database file, and a partition whose rows did not change is not written.
"""
