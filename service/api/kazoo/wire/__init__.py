"""Vendor JSON <-> domain. A response is a Struct that encodes it and gives its schema."""
