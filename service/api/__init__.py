"""HTTP interface. It calls use cases only."""
