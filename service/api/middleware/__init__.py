"""ASGI layers around the application, one module each."""
