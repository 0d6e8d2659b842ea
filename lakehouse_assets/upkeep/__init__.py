"""Keeps tables small and fast: compaction, vacuum, checkpoints. Does not use Dagster."""
