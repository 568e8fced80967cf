"""Domain values and rules, without I/O and without client libraries."""
