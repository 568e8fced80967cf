"""JSON of this dialect, and its conversion from and to the domain.

Each response is a Struct, which encodes it and describes its schema.
"""
