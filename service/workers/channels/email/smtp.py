"""Sends mails to one SMTP server over a pool of connections."""

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
_MAX_IDLE_S = 20.0
_MAILS_PER_CONNECTION = 100
_MAX_REPLY_CHARS = 300
# RFC 3463: an operator can resolve 5.7.x (policy or authentication). Other 5xx are permanent.
_POLICY = re.compile(r"\b5\.7\.\d+\b")


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """Address of the SMTP server. `tls` means implicit TLS.

    If `start_tls` is None, STARTTLS is used when the server offers it.
    """

    host: str
    port: int
    tls: bool
    start_tls: bool | None
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parses `smtp://`, `smtp+starttls://` or `smtps://` `[user:password@]host[:port]`.

        `smtp` uses STARTTLS if the server offers it, and requires it if there is a password and the
        host is not local. Raises ValueError with a text that does not contain the password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(
                "an SMTP address must be smtp://, smtp+starttls:// or smtps:// with a host"
            )
        starttls_required = parts.scheme == "smtp+starttls" or bool(
            parts.username and parts.scheme == "smtp" and not _is_loopback(parts.hostname)
        )
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "smtps",
            start_tls=False if parts.scheme == "smtps" else starttls_required or None,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class SmtpSender:
    """Pool of connections to one server. `timeout_s` bounds each response of the server."""

    def __init__(
        self, server: SmtpServer, *, timeout_s: float, ca_file: str = "", hostname: str = ""
    ) -> None:
        self._idle: deque[tuple[aiosmtplib.SMTP, float, int]] = deque()
        # Optional STARTTLS protects against passive attackers only: an active one can suppress the
        # offer, so checking the certificate would add no security.
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
        """Opens the pool. Connections are made on demand."""
        sender = cls(server, timeout_s=timeout_s, ca_file=ca_file, hostname=hostname)
        try:
            yield sender
        finally:
            while sender._idle:
                sender._idle.popleft()[0].close()

    async def send(self, sender: str, recipient: str, content: bytes, *, utf8: bool) -> Outcome:
        """Sends a mail. The server may have accepted the mail although this method failed."""
        try:
            client, mails = await self._acquire()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Failed(error=f"no SMTP session: {_describe(error)}")
        try:
            options = ["SMTPUTF8"] if utf8 else []
            await client.sendmail(sender, [recipient], content, mail_options=options)
        except BaseException as error:
            self._release_after_error(client, mails, error)
            if not isinstance(error, (aiosmtplib.SMTPException, OSError, TimeoutError)):
                raise
            return Failed(error=_describe(error), permanent=_is_permanent(error))
        self._release(client, mails + 1)
        return Done()

    async def check_session(self) -> Outcome:
        """Opens a session with the configured encryption and login. Sends no mail."""
        try:
            client, mails = await self._acquire()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Failed(error=_describe(error))
        self._release(client, mails)
        return Done()

    async def _acquire(self) -> tuple[aiosmtplib.SMTP, int]:
        """Returns a pooled or new connection, and the number of mails sent over it."""
        while self._idle:
            client, since, mails = self._idle.pop()
            if time.monotonic() - since < _MAX_IDLE_S and await _is_alive(client):
                return client, mails
            client.close()
        client = aiosmtplib.SMTP(**self._options)
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client, 0

    def _release(self, client: aiosmtplib.SMTP, mails: int) -> None:
        if client.is_connected and mails < _MAILS_PER_CONNECTION:
            self._idle.append((client, time.monotonic(), mails))
        else:
            client.close()

    def _release_after_error(
        self, client: aiosmtplib.SMTP, mails: int, error: BaseException
    ) -> None:
        """Keeps the connection after a rejection. After other errors its state is unknown."""
        if isinstance(error, (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)):
            self._release(client, mails)
        else:
            client.close()


async def _is_alive(client: aiosmtplib.SMTP) -> bool:
    if not client.is_connected:
        return False
    try:
        await client.noop()
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return False
    return True


def _is_permanent(error: BaseException) -> bool:
    """Returns True if the server would reject this mail to this address again."""
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return True
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    elif not isinstance(error, aiosmtplib.SMTPDataError):
        return False
    return error.code >= 500 and not _POLICY.search(error.message)


def _describe(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        reply = strip_control_characters(" ".join(error.message.split()))[:_MAX_REPLY_CHARS]
        return f"the SMTP server returned {error.code} {reply}"
    return f"{type(error).__name__}: {strip_control_characters(str(error))[:_MAX_REPLY_CHARS]}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
