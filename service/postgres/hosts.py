"""Connections to the server of a multi-host URL that has the required attribute."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import asyncpg

# Time after which the next server is tried too, while the previous one has not answered.
_STAGGER_S = 0.3


class ServerHosts:
    """Servers of a URL such as `postgresql://u:p@a,b/db?target_session_attrs=read-write`.

    asyncpg tries one server after the other within one timeout: a frozen primary would use up all
    of it. Here a server that does not answer does not delay the attempts at the others.
    """

    def __init__(self, url: str) -> None:
        self._urls = _split_hosts(url)

    async def connect(self, *_url: Any, **options: Any) -> asyncpg.Connection:
        """Connects to the first server that qualifies. The last one that did is tried first.

        The pool passes the URL and the options of `asyncpg.connect`. Raises the error of a server
        if none qualifies.
        """
        if len(self._urls) == 1:
            return await asyncpg.connect(self._urls[0], **options)
        waiting, attempts = list(self._urls), dict[asyncio.Task[asyncpg.Connection], str]()
        errors: list[BaseException] = []
        try:
            while waiting or attempts:
                if waiting:
                    url = waiting.pop(0)
                    attempts[asyncio.create_task(_attempt(url, options))] = url
                timeout_s = _STAGGER_S if waiting else None
                done, _ = await asyncio.wait(
                    attempts, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                for attempt in done:
                    url = attempts.pop(attempt)
                    if (error := attempt.exception()) is None:
                        self._urls.sort(key=lambda other: other != url)
                        return attempt.result()
                    errors.append(error)
        finally:
            await _abandon(list(attempts))
        raise _most_informative(errors)


async def _attempt(url: str, options: dict[str, Any]) -> asyncpg.Connection:
    return await asyncpg.connect(url, **options)


async def _abandon(attempts: Sequence[asyncio.Task[asyncpg.Connection]]) -> None:
    """Ends the attempts and closes their connections."""
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, asyncpg.Connection):
            result.terminate()


def _most_informative(errors: Sequence[BaseException]) -> BaseException:
    """Returns an error other than that a server is a standby, if there is one."""
    mismatch = asyncpg.TargetServerAttributeNotMatched
    return next((error for error in errors if not isinstance(error, mismatch)), errors[-1])


def _split_hosts(url: str) -> list[str]:
    """Returns a URL for each server."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [
        parts._replace(netloc=f"{login}{at}{host.strip()}").geturl() for host in hosts.split(",")
    ]
