"""Pages of the docs that are written from contracts and models."""
