"""Building blocks of the OpenAPI document that all dialects share."""
