"""HTTP server of the service, for the servers that it is compared with."""

import asyncio
import signal
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server


async def serve(app: Any, port: int) -> None:
    """Serves until SIGTERM or SIGINT, set up as the API is."""
    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.auto,
        websockets=False,
        log_enabled=False,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    await server.serve()
