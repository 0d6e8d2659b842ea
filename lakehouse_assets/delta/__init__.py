"""Table storage: Delta commits with delta-rs, the engine's Parquet files, DuckDB views, typed handlers. Knows no Dagster."""
