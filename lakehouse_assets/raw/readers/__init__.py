"""One reader per format: bytes in, batches of text rows out, and rejects with a reason for what can't be parsed."""
