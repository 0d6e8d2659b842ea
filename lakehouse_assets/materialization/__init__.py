"""What Dagster sees of any table: the IO manager, partitions, metadata, the check of row accounts."""
