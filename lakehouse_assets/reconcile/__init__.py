"""What differs between landing and the tables, and which runs settle it. Knows no Dagster."""
