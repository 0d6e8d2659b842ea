"""What keeps tables small and quick: compaction, vacuum, checkpoints. Knows no Dagster."""
