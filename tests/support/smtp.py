"""SMTP server whose behaviour depends on the recipient's address, and its certificates."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted mail and its session."""

    sender: str
    recipient: str
    content: bytes
    session: int
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class MailServer:
    """Accepts mails on 127.0.0.1. The part before the first dot of a recipient selects the answer:

    `refused` 550, `policy` 550 5.7.1, `greylisted` 450 for the first two attempts, `unlucky` 451
    after DATA the first time, `stalled` silence after DATA the first time, `cut` a closed
    connection in the middle of DATA the first time.
    """

    def __init__(self, **options: Any) -> None:
        self.mails: list[Mail] = []
        self.attempts: Counter[str] = Counter()
        self.message_ids: list[tuple[str, str]] = []
        self.sessions = 0
        self.open_sessions = 0
        self.port = 0
        self._options = options

    @property
    def url(self) -> str:
        return f"smtp://{HOST}:{self.port}"

    def to(self, recipient: str) -> list[Mail]:
        return [mail for mail in self.mails if mail.recipient == recipient]

    def session(self) -> "_Session":
        self.sessions += 1
        self.open_sessions += 1
        return _Session(self, self.sessions, self._options)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        self.attempts[address] += 1
        match address.partition(".")[0]:
            case "refused":
                return "550 5.1.1 no such user <b>here</b>"
            case "policy":
                return "550 5.7.1 relaying denied"
            case "greylisted" if self.attempts[address] <= 2:
                return "450 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(server, _Session)
        assert isinstance(envelope.content, bytes)
        [address] = envelope.rcpt_tos
        mail = Mail(
            sender=envelope.mail_from or "",
            recipient=address,
            content=envelope.content,
            session=server.number,
            encrypted=session.ssl is not None or server.from_the_start,
            user=_user_of(session),
        )
        self.message_ids.append((address, mail.message["Message-ID"]))
        if self.attempts[address] == 1:
            match address.partition(".")[0]:
                case "unlucky":
                    return "451 4.3.0 not now"
                case "stalled":
                    await asyncio.Event().wait()
        self.mails.append(mail)
        return "250 taken"


class _Session(SMTP):
    """Connection. `cut` closes it in the middle of DATA."""

    def __init__(self, server: MailServer, number: int, options: dict[str, Any]) -> None:
        self.number = number
        self.from_the_start = bool(options.get("tls_from_the_start"))
        self._post = server
        passed = {name: value for name, value in options.items() if name != "tls_from_the_start"}
        super().__init__(
            server,
            enable_SMTPUTF8=True,
            hostname="post.test",
            loop=asyncio.get_running_loop(),
            **passed,
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._post.open_sessions -= 1
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        address = self.envelope.rcpt_tos[0] if self.envelope and self.envelope.rcpt_tos else ""
        if address.startswith("cut.") and self._post.attempts[address] == 1:
            await self.push("354 go on")
            assert self._reader is not None
            await self._reader.read(1000)
            assert isinstance(self.transport, asyncio.WriteTransport)
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


def _user_of(session: Session) -> str | None:
    data: Any = session.auth_data  # None without a sign-in, whatever the library's types say
    return data.login.decode() if data else None


@asynccontextmanager
async def running_mail_server(
    tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[MailServer]:
    """Runs a server; `tls` from the first byte, or options of aiosmtpd."""
    server = MailServer(**options, **({"tls_from_the_start": True} if tls else {}))
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server.session, HOST, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def only(user: str, password: str) -> Any:
    """Returns an authenticator that accepts one user."""

    def check(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, value: Any
    ) -> AuthResult:
        assert isinstance(value, LoginPassword)
        known = value == LoginPassword(user.encode(), password.encode())
        return AuthResult(success=known, handled=known, auth_data=value if known else None)

    return check


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Returns a TLS context for 127.0.0.1 and the file with its CA certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "post.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    """Returns the text of a mail."""
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())
