"""Generates pages of the docs from contracts and models."""
