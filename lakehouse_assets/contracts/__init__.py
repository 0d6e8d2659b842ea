"""Contracts, and what is derived from them. Nothing here depends on Dagster assets, storage or a source system."""
