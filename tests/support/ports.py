"""Ports for processes that cannot pick one themselves."""

import random
import socket
from pathlib import Path

_LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Returns a free port outside the range that outgoing connections use."""
    lowest_outgoing = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 49_152
    while True:
        port = random.randrange(_LOWEST, max(lowest_outgoing, _LOWEST + 1_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
