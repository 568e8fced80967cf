"""Readers of request bodies."""
