"""Finds what differs between landing and the tables, and plans the runs that resolve it. Does not use Dagster."""
