"""Loops that outlive a request; one module, one process."""
