"""Serving: read-only access to the tables for people and programs."""
