"""What a contract is, and what follows from it. Nothing here knows Dagster assets, storage or a source system."""
