"""One reader a format: bytes in, batches of rows of text out, and what can't be read with its reason."""
