"""Serving: what is handed to people and programs that only read."""
