"""The three embedded servers together; what `aftertone dev` and the tests start."""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from service.embedded import ports
from service.embedded.binaries import Programs, installed_programs
from service.embedded.disk import cannot_use, check_space, usable
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.keys import secrets_of
from service.embedded.nats import EmbeddedNats
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.s3 import EmbeddedS3

__all__ = ["EmbeddedError", "EmbeddedServers"]

BUCKET = "aftertone"
REGION = "us-east-1"


class EmbeddedServers:
    """Postgres, NATS and S3 with their data, keys and logs under one folder.

    Each can be stopped, killed, frozen and started again on the same port with the same data.
    Ports are kept in the folder and used again by the next run when they are free.
    """

    def __init__(self, folder: Path, programs: Programs | None = None) -> None:
        folder = folder.absolute()
        self.folder = folder
        programs = programs or installed_programs()
        programs.check()
        with usable(folder):
            self._prepare_folder()
            secrets = secrets_of(folder)
        chosen = ports.remembered(folder / "ports.json")
        logs = folder / "logs"
        self.postgres = EmbeddedPostgres(
            folder / "postgres", logs / "postgres.log", programs, chosen, secrets
        )
        self.nats = EmbeddedNats(folder / "nats", logs / "nats.log", programs, chosen)
        self.s3 = EmbeddedS3(folder / "s3", logs / "s3.log", programs, chosen, secrets)
        self.all = (self.postgres, self.nats, self.s3)
        self._secrets = secrets

    def _prepare_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Postgres runs as another user then and must get through to its own folder.
            self.folder.chmod(0o711)
        check_space(self.folder)

    async def start(self) -> None:
        """The three side by side; returns when each answers, or leaves nothing running."""
        for attempt in range(5):
            try:
                await self._start_once()
                return
            except PortTaken:
                # Somebody was quicker between our look at a port and the server's.
                if attempt == 4:
                    raise
                self._move(ports.fresh())

    async def _start_once(self) -> None:
        starts = [asyncio.create_task(server.start()) for server in self.all]
        try:
            await asyncio.gather(*starts)
            ports.remember(self.folder / "ports.json", self.postgres.ports)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                # Otherwise they know already, and twice would disturb their tidying up.
                for start in starts:
                    start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            if isinstance(error, OSError):
                raise cannot_use(self.folder, error) from error
            raise

    def _move(self, chosen: ports.Ports) -> None:
        for server in self.all:
            server.ports = chosen

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.all))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def environment(self) -> dict[str, str]:
        """The settings under which the service uses these servers."""
        return {
            "AFTERTONE_DATABASE_URL": self.postgres.url(role="aftertone"),
            "AFTERTONE_OWNER_DATABASE_URL": self.postgres.url(role="aftertone_owner"),
            "AFTERTONE_NATS_URL": self.nats.url(),
            "AFTERTONE_S3_ENDPOINT": self.s3.endpoint(),
            "AFTERTONE_S3_BUCKET": BUCKET,
            "AFTERTONE_S3_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self._secrets.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self._secrets.s3_secret_key,
        }
