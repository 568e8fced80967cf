"""The ceiling of the HTTP stack: the service's server and framework with a reply that is fixed.

Run as `python -m tests.benchmarks.static PORT FILE`; answers every `GET /` with the file's bytes.
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from litestar import Litestar, Response, get

from service.api.frame import Frame
from service.api.observed import Observed


async def serve(port: int, body: bytes) -> None:
    """Serves until SIGTERM or SIGINT, set up as the API is."""

    @get("/")
    async def reply() -> Response[bytes]:
        return Response(body, media_type="application/json")

    app = Litestar([reply], request_max_body_size=None, logging_config=None, openapi_config=None)
    server = Server(
        Observed(Frame(app), ()),
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


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
