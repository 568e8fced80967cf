"""Sends mails to one SMTP server, over connections that are used again while they are warm."""

import re
import socket
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import aiosmtplib
import msgspec

from service.domain.text import strip_control_characters
from service.workers.channels import Done, Failed, Outcome

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_IDLE_S = 20.0
_MAILS_PER_CONNECTION = 100
_LONGEST_REPLY = 300
# RFC 3463: 5.7.x is a matter of policy or sign-in, which an operator mends; the rest of 5xx stays.
_POLICY = re.compile(r"\b5\.7\.\d+\b")


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where mails go. `tls`: from the first byte; `start_tls` None: if the server offers it."""

    host: str
    port: int
    tls: bool
    start_tls: bool | None
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """`smtp://`, `smtp+starttls://` or `smtps://` `[user:password@]host[:port]`.

        Plain `smtp` encrypts if the server offers it; with a password and off this machine it
        must. ValueError says what is wrong, without the password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("an SMTP address is smtp://, smtp+starttls:// or smtps:// and a host")
        must = parts.scheme == "smtp+starttls" or bool(
            parts.username and parts.scheme == "smtp" and not _is_loopback(parts.hostname)
        )
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "smtps",
            start_tls=False if parts.scheme == "smtps" else must or None,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class SmtpSender:
    """A few connections to one server; `timeout_s` bounds each answer of it."""

    def __init__(
        self, server: SmtpServer, *, timeout_s: float, ca_file: str = "", hostname: str = ""
    ) -> None:
        self._idle: deque[tuple[aiosmtplib.SMTP, float, int]] = deque()
        # Encryption that a server may as well not offer keeps out listeners only: whoever could
        # forge its certificate could as well hide the offer.
        verify = server.tls or server.start_tls is True
        self._options: dict[str, Any] = {
            "hostname": server.host,
            "port": server.port,
            "username": server.username,
            "password": server.password,
            "use_tls": server.tls,
            "start_tls": server.start_tls,
            "validate_certs": verify,
            "cert_bundle": ca_file or None,
            "timeout": timeout_s,
            "local_hostname": hostname or socket.gethostname(),
        }

    @classmethod
    @asynccontextmanager
    async def open(
        cls, server: SmtpServer, *, timeout_s: float, ca_file: str = "", hostname: str = ""
    ) -> AsyncIterator[Self]:
        """Connects on demand: a process starts while the server is away."""
        sender = cls(server, timeout_s=timeout_s, ca_file=ca_file, hostname=hostname)
        try:
            yield sender
        finally:
            while sender._idle:
                sender._idle.popleft()[0].close()

    async def send(self, sender: str, recipient: str, content: bytes, *, utf8: bool) -> Outcome:
        """Done once the server has taken the mail. After a failure it may have it all the same."""
        try:
            client, mails = await self._connection()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Failed(error=f"no SMTP session: {_told(error)}")
        try:
            options = ["SMTPUTF8"] if utf8 else []
            await client.sendmail(sender, [recipient], content, mail_options=options)
        except BaseException as error:
            self._keep_if_sane(client, mails, error)
            if not isinstance(error, (aiosmtplib.SMTPException, OSError, TimeoutError)):
                raise
            return Failed(error=_told(error), permanent=_is_permanent(error))
        self._keep(client, mails + 1)
        return Done()

    async def greet(self) -> Outcome:
        """A session with encryption and sign-in as they are set, and no mail."""
        try:
            client, mails = await self._connection()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Failed(error=_told(error))
        self._keep(client, mails)
        return Done()

    async def _connection(self) -> tuple[aiosmtplib.SMTP, int]:
        """One that is warm and answers, or a new one; and how many mails went over it."""
        while self._idle:
            client, since, mails = self._idle.pop()
            if time.monotonic() - since < _IDLE_S and await _answers(client):
                return client, mails
            client.close()
        client = aiosmtplib.SMTP(**self._options)
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client, 0

    def _keep(self, client: aiosmtplib.SMTP, mails: int) -> None:
        if client.is_connected and mails < _MAILS_PER_CONNECTION:
            self._idle.append((client, time.monotonic(), mails))
        else:
            client.close()

    def _keep_if_sane(self, client: aiosmtplib.SMTP, mails: int, error: BaseException) -> None:
        """A refusal leaves the session in order; anything else leaves it in the middle."""
        if isinstance(error, (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)):
            self._keep(client, mails)
        else:
            client.close()


async def _answers(client: aiosmtplib.SMTP) -> bool:
    if not client.is_connected:
        return False
    try:
        await client.noop()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return False
    return True


def _is_permanent(error: BaseException) -> bool:
    """Whether this mail to this address would be refused again."""
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return True
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    elif not isinstance(error, aiosmtplib.SMTPDataError):
        return False
    return error.code >= 500 and not _POLICY.search(error.message)


def _told(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        reply = strip_control_characters(" ".join(error.message.split()))[:_LONGEST_REPLY]
        return f"the SMTP server answered {error.code} {reply}"
    return f"{type(error).__name__}: {strip_control_characters(str(error))[:_LONGEST_REPLY]}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
