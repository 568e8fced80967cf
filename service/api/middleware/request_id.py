"""Request id: that of the client in `X-Request-ID`, or a new one."""

import os
from collections.abc import Mapping

_MAX_REQUEST_ID = 128


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """Returns the client's own id when it is short and printable, otherwise a random one."""
    value = headers.get(b"x-request-id", b"").decode("latin-1")
    if 0 < len(value) <= _MAX_REQUEST_ID and value.isascii() and value.isprintable():
        return value
    return os.urandom(16).hex()
