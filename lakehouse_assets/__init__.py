"""A retail lakehouse: Dagster assets over Delta tables, from file drops to a star schema."""
