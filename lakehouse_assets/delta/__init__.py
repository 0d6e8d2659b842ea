"""How tables lie there: Delta commits by delta-rs, Parquet files of the engine, DuckDB views, typed handlers. Knows no Dagster."""
