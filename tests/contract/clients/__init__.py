"""Programs that drive a client library from PyPI, each in an environment of its own."""
