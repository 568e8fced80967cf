"""HTTP requests to untrusted hosts, guarded against server-side request forgery (SSRF).

All addresses of a host must be globally routable or in a network that is allowed. The connection
goes to the checked addresses, because a second lookup of the name could return an internal address.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol, Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.domain.errors import DnsUnavailable
from service.domain.webhook import WebhookResponse

Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int, Hashable], Awaitable[Sequence[str]]]
"""Returns the addresses of a host and port for an account.

Raises OSError when it has none, DnsUnavailable.
"""

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_UNICAST = IPv6Network("2000::/3")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_MAX_RESPONSE_BYTES = 65_536
_RESPONSE_BODY_S = 2.0
_MAX_RETRY_AFTER_S = 3600
_AGENT = "Aftertone-Webhook"


class TargetForbidden(Exception):
    """The host has an address that is not public; use a public host."""

    def __str__(self) -> str:
        return (type(self).__doc__ or "").rstrip(".")


class TargetUnknown(TargetForbidden):
    """The host name has no address; check its spelling."""


class TargetUnencrypted(TargetForbidden):
    """The URL uses http, which is not encrypted; use https."""


class OutboundLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of requests. `timeout_s` is for a whole request, `max_lookups` for concurrent ones.

    `private_networks` may be reached although they are not public. Without `allow_http`, a request
    over http may be sent to loopback addresses only.
    """

    private_networks: tuple[Network, ...] = ()
    allow_http: bool = False
    connect_timeout_s: float = 5.0
    timeout_s: float = 15.0
    max_lookups: int = 64

    def allows_all(self, url: URL) -> bool:
        """Returns True when a target is allowed with any address."""
        all_of = {network.version for network in self.private_networks if not network.prefixlen}
        return all_of == {4, 6} and (self.allow_http or url.scheme == "https")


class LookupSlots(Protocol):
    """Slots of DNS lookups. `acquire` raises DnsUnavailable without a free slot of the owner."""

    def acquire(self, owner: Hashable) -> None: ...
    def release(self, owner: Hashable) -> None: ...


class OutboundHttp:
    """Sends POST requests. A connection is used once, since a stale one would cost an attempt."""

    def __init__(self, limits: OutboundLimits, resolve: Resolve) -> None:
        self.limits = limits
        self._resolve = resolve

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        limits: OutboundLimits,
        slots: LookupSlots,
        getaddrinfo: Callable[..., Sequence[Any]] = socket.getaddrinfo,
    ) -> AsyncIterator[Self]:
        """Opens a client with the system resolver, in a thread pool of its own.

        A lookup without a response blocks its thread for 30 s, also when its request has ended. It
        keeps its slot for that time.
        """
        threads = ThreadPoolExecutor(limits.max_lookups, thread_name_prefix="resolver")

        loop = asyncio.get_running_loop()

        async def resolve(host: str, port: int, owner: Hashable) -> Sequence[str]:
            slots.acquire(owner)
            lookup = threads.submit(getaddrinfo, host, port, type=socket.SOCK_STREAM)
            lookup.add_done_callback(lambda _: _call_in(loop, lambda: slots.release(owner)))
            entries = await asyncio.wrap_future(lookup)
            return [str(entry[4][0]) for entry in entries]

        try:
            yield cls(limits, resolve)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def check(self, uri: str, owner: Hashable = None) -> None:
        """Raises TargetForbidden for a target that is not allowed, ValueError for an unusable URL.

        `owner` is the account. Raises DnsUnavailable when the host cannot be resolved now.
        """
        url = URL(uri)
        if self.limits.allows_all(url):
            return
        try:
            await self._addresses(url, owner)
        except TimeoutError:
            raise DnsUnavailable("lookup timed out") from None

    async def post(
        self, uri: str, headers: Mapping[str, str], body: bytes, owner: Hashable = None
    ) -> WebhookResponse:
        """Sends one POST without following redirects; failures of the receiver are returned.

        `owner` is the account. Only the status of the response is used; at most 64 KiB of its body
        are read.
        """
        began = time.monotonic()
        try:
            return await self._send(URL(uri), headers, body, owner, began)
        except TimeoutError:
            error = f"no response within {self.limits.timeout_s:g} s"
        except (TargetForbidden, DnsUnavailable) as problem:
            error = str(problem)
        # uvloop raises RuntimeError when all addresses fail; ValueError is an unusable URL.
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as problem:
            error = _describe_failure(problem)
        return WebhookResponse(response_code=None, error=error, duration_ms=_ms_since(began))

    async def _send(
        self, url: URL, headers: Mapping[str, str], body: bytes, owner: Hashable, began: float
    ) -> WebhookResponse:
        async with (
            asyncio.timeout(self.limits.timeout_s) as deadline,
            self._session(await self._addresses(url, owner)) as session,
            session.post(
                url,
                data=body,
                headers={"User-Agent": _AGENT, "Connection": "close", **headers},
                allow_redirects=False,
            ) as response,
        ):
            deadline.reschedule(None)
            result = WebhookResponse(
                response_code=response.status,
                error=_status_error(response.status),
                duration_ms=_ms_since(began),
                retry_after_s=retry_after_of(response.headers.get("Retry-After", "")),
            )
            # Reads the body so that the connection ends cleanly. It does not affect the result.
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(_RESPONSE_BODY_S):
                    await _read_body(response.content)
            return result

    def _session(self, addresses: Sequence[str]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_PinnedResolver(addresses), use_dns_cache=False, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect_timeout_s),
        )

    async def _addresses(self, url: URL, owner: Hashable) -> list[str]:
        host, port = url.host, url.port
        if not host or port is None:
            raise ValueError("no host")
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                addresses = list(dict.fromkeys(await self._resolve(host, port, owner)))
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise DnsUnavailable("no response") from None
            raise TargetUnknown from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise TargetUnknown from None
        if not addresses:
            raise TargetUnknown
        self._check_addresses(url, addresses)
        return addresses

    def _check_addresses(self, url: URL, addresses: Sequence[str]) -> None:
        networks = self.limits.private_networks
        if not all(is_public(text) or is_within(text, networks) for text in addresses):
            raise TargetForbidden
        if url.scheme == "https" or self.limits.allow_http:
            return
        if not all(is_within(text, LOOPBACK) for text in addresses):
            raise TargetUnencrypted


class _PinnedResolver(AbstractResolver):
    """Resolver that returns only the checked addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family  # the addresses determine it
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Has no resources to close."""


def is_public(text: str) -> bool:
    """Returns True for a globally routable unicast address.

    IPv4-mapped and NAT64 addresses are checked as IPv4; 6to4 addresses are not public.
    """
    match _parse_address(text):
        case IPv4Address() as address:
            return address.is_global and not address.is_multicast
        case IPv6Address() as address:
            return address in _UNICAST and address not in _SIX_TO_FOUR and address.is_global
        case None:
            return False


def is_within(text: str, networks: Sequence[Network]) -> bool:
    """Returns True for an address in one of the networks, mapped addresses checked as IPv4."""
    address = _parse_address(text)
    return address is not None and any(address in network for network in networks)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Returns the address, an IPv4-mapped or NAT64 one as IPv4; None for other text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Calls a function in the event loop, unless it was closed in the meantime."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


async def _read_body(content: aiohttp.StreamReader) -> None:
    left = _MAX_RESPONSE_BYTES
    while left > 0 and (read := len(await content.read(left))):
        left -= read


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


def _status_error(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"response status {status}; redirects are not followed"
    return f"response status {status}"


def retry_after_of(text: str) -> float:
    """Returns Retry-After (RFC 9110) in seconds, at most 1 hour; 0 for a date."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return 0.0
    return float(min(int(text), _MAX_RETRY_AFTER_S))


def _describe_failure(problem: Exception) -> str:
    """Returns the kind of failure, without content from the receiver."""
    if isinstance(problem, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return "TLS failed: certificate or handshake not valid"
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        return "connection timed out"
    if isinstance(problem, aiohttp.ClientConnectorError | RuntimeError):
        return "connection failed"
    if isinstance(problem, ValueError):
        return "the URL cannot be used"
    if isinstance(problem, aiohttp.ServerDisconnectedError | OSError):
        return "connection closed without a response"
    return "the response is not HTTP"
