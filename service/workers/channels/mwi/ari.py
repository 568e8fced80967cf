"""Client of the Asterisk REST interface (ARI) for mailboxes.

Requires the modules res_ari_mailboxes and res_stasis_mailbox. Asterisk docs, "Mailboxes REST API":
PUT creates or updates a mailbox, DELETE removes it.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote
from uuid import UUID

import aiohttp
import msgspec
from yarl import URL

from service.domain.errors import Unavailable


class AriSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`url` excludes `/ari`. `context` follows `@`; `{account_id}` in it is replaced."""

    url: str
    user: str
    password: str
    context: str = ""
    timeout_s: float = 5.0


class AriClient:
    """Sets and removes mailboxes. Every method can raise Unavailable."""

    def __init__(self, session: aiohttp.ClientSession, settings: AriSettings) -> None:
        self._session = session
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: AriSettings) -> "AsyncIterator[AriClient]":
        credentials = b64encode(f"{settings.user}:{settings.password}".encode()).decode()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Basic {credentials}"},
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        ) as session:
            yield cls(session, settings)

    async def put(self, account_id: UUID, mailbox: str, *, new: int, saved: int) -> None:
        """Sets the counts of a mailbox."""
        counts = {"oldMessages": str(saved), "newMessages": str(new)}
        await self._request("PUT", account_id, mailbox, counts)

    async def delete(self, account_id: UUID, mailbox: str) -> None:
        """Switches a lamp off and removes its mailbox.

        Some versions of Asterisk do not notify subscribed phones of a removal, so the counts are
        set to 0 first.
        """
        await self.put(account_id, mailbox, new=0, saved=0)
        await self._request("DELETE", account_id, mailbox, {}, allowed_status=404)

    async def ping(self) -> None:
        """Lists the mailboxes, to check the credentials and the module."""
        await self._send("GET", URL(self._mailboxes, encoded=True))

    async def _request(
        self,
        method: str,
        account_id: UUID,
        mailbox: str,
        query: dict[str, str],
        allowed_status: int = 0,
    ) -> None:
        url = URL(self._url(account_id, mailbox), encoded=True).with_query(query)
        await self._send(method, url, allowed_status)

    async def _send(self, method: str, url: URL, allowed_status: int = 0) -> None:
        try:
            async with self._session.request(method, url, allow_redirects=False) as response:
                if not response.ok and response.status != allowed_status:
                    raise Unavailable(f"the switch returned {response.status}")
                if 300 <= response.status < 400:
                    raise Unavailable("the switch returned a redirect")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"request to the switch failed: {reason}") from error

    def _url(self, account_id: UUID, mailbox: str) -> str:
        context = self._settings.context.replace("{account_id}", account_id.hex)
        name = f"{mailbox}@{context}" if context else mailbox
        return f"{self._mailboxes}/{quote(name, safe='@')}"

    @property
    def _mailboxes(self) -> str:
        return f"{self._settings.url.rstrip('/')}/ari/mailboxes"
