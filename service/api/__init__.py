"""HTTP. Speaks to use cases only."""
