"""HTTP functions that all dialects use."""
