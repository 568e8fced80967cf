"""Address of the client of a request, even if the request came through proxies."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from litestar.connection import ASGIConnection
from litestar.types import Scope

IPNetwork = IPv4Network | IPv6Network

_IPV6_SITE_BITS = 64


def peer_of(
    connection: ASGIConnection[Any, Any, Any, Any], trusted_proxies: Sequence[IPNetwork]
) -> str:
    """Returns the address of the client, or its IPv6 network of 64 bits.

    If the connection comes from a trusted proxy, it is the last address in `X-Forwarded-For` that
    is not a trusted proxy. Earlier addresses in the header may be forged.
    """
    return peer_of_scope(connection.scope, trusted_proxies)


def peer_of_scope(scope: Scope, trusted_proxies: Sequence[IPNetwork]) -> str:
    """Returns the address of the client of a request, as `peer_of`."""
    client = scope["client"]
    forwarded = [
        value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
    ]
    return resolve_peer(client[0] if client else "", forwarded, trusted_proxies)


def resolve_peer(
    host: str, forwarded_for: Sequence[str], trusted_proxies: Sequence[IPNetwork]
) -> str:
    """Returns the peer of a connection from `host` with these `X-Forwarded-For` headers."""
    parts = ",".join(forwarded_for).split(",") if forwarded_for else []
    for part in reversed([part.strip() for part in parts if part.strip()]):
        if not is_trusted(host, trusted_proxies):
            break
        host = part
    return site_of(host)


@lru_cache(maxsize=4096)
def site_of(host: str) -> str:
    """Returns an IPv4 address unchanged, and an IPv6 address as its network of 64 bits."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _IPV6_SITE_BITS), strict=False))


def is_trusted(host: str, trusted_proxies: Sequence[IPNetwork]) -> bool:
    """Returns True for the address of a trusted proxy."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in trusted_proxies)
