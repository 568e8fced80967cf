"""The listener of health and metrics, the same for every process."""
