"""ASGI middleware, one module each. `service.api.app` lists the stack in its order."""
