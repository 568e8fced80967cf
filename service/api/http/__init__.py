"""Pieces of HTTP that every dialect uses."""
