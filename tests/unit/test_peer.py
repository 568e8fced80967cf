"""The address of a client, directly or through proxies."""

from ipaddress import ip_network
from typing import Any

import pytest
from litestar.connection import ASGIConnection

from service.api.http.peer import peer_of

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("client", "forwarded", "peer"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9, 198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.1.1.1", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["unknown"], "unknown"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
    ],
)
def test_only_trusted_proxies_can_name_the_client(
    client: str, forwarded: list[str], peer: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope: Any = {"type": "http", "client": (client, 1), "headers": headers}
    assert peer_of(ASGIConnection(scope), PROXIES) == peer
