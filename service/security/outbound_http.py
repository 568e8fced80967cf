"""Requests to addresses that strangers chose: looks where they lead, and goes nowhere else.

A host must have globally routable addresses only, and the connection goes to those that were
looked at: a name that is looked up a second time might lead into one's own network.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.domain.errors import DnsUnavailable
from service.domain.webhook import WebhookResponse

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; OSError when it has none."""

_UNICAST = IPv6Network("2000::/3")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_MOST_REPLY_BYTES = 65_536
_REPLY_S = 2.0
_LONGEST_PAUSE_S = 3600
_AGENT = "Aftertone-Webhook"


class TargetForbidden(Exception):
    """The host has an address that is not public; use a public host."""

    def __str__(self) -> str:
        return (type(self).__doc__ or "").rstrip(".")


class TargetUnknown(TargetForbidden):
    """The host name has no address; check its spelling."""


class OutboundLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`timeout_s` is for a whole request; `look_ups` so many names are looked up at a time."""

    allow_private: bool = False
    connect_timeout_s: float = 5.0
    timeout_s: float = 15.0
    look_ups: int = 64


class OutboundHttp:
    """Sends POSTs out. A connection is used once: one that the other side has just given up would
    cost an attempt."""

    def __init__(self, limits: OutboundLimits, look_up: LookUp) -> None:
        self.limits = limits
        self._look_up = look_up

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: OutboundLimits) -> AsyncIterator[Self]:
        """With the system's look-up, in threads of its own: a name whose servers do not answer
        holds one for half a minute, and may keep nobody else waiting."""
        threads = ThreadPoolExecutor(limits.look_ups, thread_name_prefix="look-up")

        async def look_up(host: str, port: int) -> Sequence[str]:
            found = await asyncio.get_running_loop().run_in_executor(
                threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
            return [str(entry[4][0]) for entry in found]

        try:
            yield cls(limits, look_up)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def check(self, uri: str) -> None:
        """Raises TargetForbidden when `uri` leads, now, where it may not; ValueError when it is
        none. Raises NamesUnavailable."""
        url = URL(uri)
        if self.limits.allow_private:
            return
        try:
            await self._addresses(url)
        except TimeoutError:
            raise DnsUnavailable("no answer in time") from None

    async def post(self, uri: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        """One POST, redirects not followed; only its status counts, 64 KiB of the reply are read.

        Never raises for what the other side does or is.
        """
        began = time.monotonic()
        try:
            return await self._exchange(URL(uri), headers, body, began)
        except TimeoutError:
            error = f"no answer within {self.limits.timeout_s:g} s"
        except (TargetForbidden, DnsUnavailable) as problem:
            error = str(problem)
        # uvloop raises RuntimeError where a connection fails in several ways; ValueError: no URL.
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as problem:
            error = _told(problem)
        return WebhookResponse(response_code=None, error=error, duration_ms=_since(began))

    async def _exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, began: float
    ) -> WebhookResponse:
        async with (
            asyncio.timeout(self.limits.timeout_s) as deadline,
            self._session(await self._addresses(url)) as session,
            session.post(
                url,
                data=body,
                headers={"User-Agent": _AGENT, "Connection": "close", **headers},
                allow_redirects=False,
            ) as response,
        ):
            deadline.reschedule(None)
            answer = WebhookResponse(
                response_code=response.status,
                error=_judged(response.status),
                duration_ms=_since(began),
                retry_after_s=retry_after_of(response.headers.get("Retry-After", "")),
            )
            # Read as far as a reply goes that means well, then hung up: it has been judged.
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(_REPLY_S):
                    await _skim(response.content)
            return answer

    def _session(self, addresses: Sequence[str]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Pinned(addresses), use_dns_cache=False, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect_timeout_s),
        )

    async def _addresses(self, url: URL) -> list[str]:
        host, port = url.host, url.port
        if not host or port is None:
            raise ValueError("no host")
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                found = list(dict.fromkeys(await self._look_up(host, port)))
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise DnsUnavailable("no answer") from None
            raise TargetUnknown from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise TargetUnknown from None
        if not found:
            raise TargetUnknown
        if not self.limits.allow_private and not all(map(is_public, found)):
            raise TargetForbidden
        return found


class _Pinned(AbstractResolver):
    """Names lead where they were seen to lead."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family  # whichever the addresses are of
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
        """Holds nothing."""


def is_public(text: str) -> bool:
    """Whether an address is globally routable, also the IPv4 address that one of IPv6 stands for
    (mapped, or by NAT64); no multicast, and no tunnel into networks unknown."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public_v4(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public_v4(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address in _UNICAST and address not in _SIX_TO_FOUR and address.is_global
    return _is_public_v4(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast


async def _skim(content: aiohttp.StreamReader) -> None:
    left = _MOST_REPLY_BYTES
    while left > 0 and (read := len(await content.read(left))):
        left -= read


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


def _judged(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"it answered {status}: redirects are not followed"
    return f"it answered {status}"


def retry_after_of(text: str) -> float:
    """RFC 9110, Retry-After in seconds; a date is left aside."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        return 0.0
    return float(min(int(text), _LONGEST_PAUSE_S))


def _told(problem: Exception) -> str:
    """What went wrong, without anything that the other side said."""
    if isinstance(problem, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return "no TLS: its certificate or its handshake is not acceptable"
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(problem, aiohttp.ClientConnectorError | RuntimeError):
        return "no connection"
    if isinstance(problem, ValueError):
        return "the address cannot be used"
    if isinstance(problem, aiohttp.ServerDisconnectedError | OSError):
        return "the connection ended without an answer"
    return "the answer is not HTTP"
