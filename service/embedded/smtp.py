"""SMTP server that writes each mail to a file and delivers none."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from service.embedded.ports import LOOPBACK

_LARGEST_MAIL_BYTES = 64 * 1024 * 1024


class MailSink:
    """SMTP server of `aftertone dev`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> "AsyncIterator[MailSink]":
        """Listens on a free loopback port while the block runs. `folder` must exist."""
        sink = cls(folder)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(sink._session, LOOPBACK, 0)
        sink.port = server.sockets[0].getsockname()[1]
        try:
            yield sink
        finally:
            server.close()

    @property
    def url(self) -> str:
        return f"smtp://{LOOPBACK}:{self.port}"

    def _session(self) -> SMTP:
        return SMTP(
            self,
            data_size_limit=_LARGEST_MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname="aftertone.localhost",
            loop=asyncio.get_running_loop(),
        )

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Stores a mail. Called by the library."""
        content = envelope.content
        assert isinstance(content, bytes)
        await asyncio.to_thread(self._store, content)
        return "250 stored"

    def _store(self, content: bytes) -> None:
        name = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}"
        draft = self.folder / f".{name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.rename(self.folder / f"{name}.eml")
