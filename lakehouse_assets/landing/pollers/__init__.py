"""Fetch feeds from where they declare it, and land what was answered. A module a kind of source."""
