"""The lamps of an Asterisk switch over its REST interface (ARI): the only home of its requests.

Needs the switch's modules res_ari_mailboxes and res_stasis_mailbox. Asterisk docs, "Mailboxes REST
API": PUT sets a state and makes the mailbox, DELETE forgets it.
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
    """`url` ends before `/ari`. `context` stands behind `@`, `{account_id}` in it for the account's
    id."""

    url: str
    user: str
    password: str
    context: str = ""
    timeout_s: float = 5.0


class AriClient:
    """Whatever goes wrong is Unavailable; who was told nothing does not know either."""

    def __init__(self, session: aiohttp.ClientSession, settings: AriSettings) -> None:
        self._session = session
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: AriSettings) -> "AsyncIterator[AriClient]":
        signed = b64encode(f"{settings.user}:{settings.password}".encode()).decode()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Basic {signed}"},
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        ) as session:
            yield cls(session, settings)

    async def put(self, account_id: UUID, mailbox: str, *, new: int, saved: int) -> None:
        """Sets what a mailbox has."""
        counts = {"oldMessages": str(saved), "newMessages": str(new)}
        await self._ask("PUT", account_id, mailbox, counts)

    async def forget(self, account_id: UUID, mailbox: str) -> None:
        """Puts a lamp out and removes its mailbox.

        Removing it alone takes the state from the switch's cache, which phones that have
        subscribed are not told of by every version; counts of 0 are.
        """
        await self.put(account_id, mailbox, new=0, saved=0)
        await self._ask("DELETE", account_id, mailbox, {}, but=404)

    async def look(self) -> None:
        """Asks for the mailboxes there are: the switch knows this user and has the module."""
        await self._send("GET", URL(self._mailboxes, encoded=True))

    async def _ask(
        self, method: str, account_id: UUID, mailbox: str, query: dict[str, str], but: int = 0
    ) -> None:
        url = URL(self._url(account_id, mailbox), encoded=True).with_query(query)
        await self._send(method, url, but)

    async def _send(self, method: str, url: URL, but: int = 0) -> None:
        try:
            async with self._session.request(method, url, allow_redirects=False) as answer:
                if not answer.ok and answer.status != but:
                    raise Unavailable(f"the switch answers {answer.status}")
                if 300 <= answer.status < 400:
                    raise Unavailable("the switch redirects")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"the switch: {reason}") from error

    def _url(self, account_id: UUID, mailbox: str) -> str:
        context = self._settings.context.replace("{account_id}", account_id.hex)
        name = f"{mailbox}@{context}" if context else mailbox
        return f"{self._mailboxes}/{quote(name, safe='@')}"

    @property
    def _mailboxes(self) -> str:
        return f"{self._settings.url.rstrip('/')}/ari/mailboxes"
