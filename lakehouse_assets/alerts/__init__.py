"""Alerts: which incidents there are, whom to tell what of them, and the messages."""
