"""How tables appear in Dagster: the IO manager, partitions, metadata, the check of row accounts."""
