"""Use cases. Each one owns its transactions; the layers below do not commit."""
