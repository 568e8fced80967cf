"""The ceiling of the HTTP stack: the service's server and framework with a reply that is fixed.

Run as `python -m tests.benchmarks.static PORT FILE`; answers every `GET /` with the file's bytes.
"""

import sys
from pathlib import Path

import uvloop
from litestar import Litestar, Response, get

from service.api.middleware.access_log import AccessLogMiddleware
from tests.benchmarks.server import serve


async def run(port: int, body: bytes) -> None:
    """Serves the body and nothing else."""

    @get("/")
    async def reply() -> Response[bytes]:
        return Response(body, media_type="application/json")

    app = Litestar([reply], request_max_body_size=None, logging_config=None, openapi_config=None)
    await serve(AccessLogMiddleware(app, ()), port)


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
