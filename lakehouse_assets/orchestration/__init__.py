"""Starts runs: sensors, jobs, the command line's sync pass, and the Dagster instance with its run history."""
