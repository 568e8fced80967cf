"""Postgres, NATS and S3 together, for `aftertone dev` and the tests."""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from service.embedded import ports
from service.embedded.binaries import Programs, installed_programs
from service.embedded.disk import check_space, folder_error, report_folder_errors
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.keys import load_secrets
from service.embedded.nats import EmbeddedNats
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.s3 import EmbeddedS3

__all__ = ["EmbeddedError", "EmbeddedServers"]

BUCKET = "aftertone"
REGION = "us-east-1"


class EmbeddedServers:
    """Postgres, NATS and S3 with their data, keys and logs in one folder.

    Each can be stopped, killed, suspended and restarted on the same port with the same data.
    The next run uses the same ports if they are free.
    """

    def __init__(self, folder: Path, programs: Programs | None = None) -> None:
        folder = folder.absolute()
        self.folder = folder
        programs = programs or installed_programs()
        programs.check()
        with report_folder_errors(folder):
            self._prepare_folder()
            secrets = load_secrets(folder)
        chosen = ports.load_ports(folder / "ports.json")
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
            # Postgres runs as another user, who must be able to enter its data folder.
            self.folder.chmod(0o711)
        check_space(self.folder)

    async def start(self) -> None:
        """Starts the servers concurrently. Returns when all are ready; stops all on an error."""
        for attempt in range(5):
            try:
                await self._start_once()
                return
            except PortTaken:
                # Another program took the port after the check.
                if attempt == 4:
                    raise
                self._set_ports(ports.choose_ports())

    async def _start_once(self) -> None:
        starts = [asyncio.create_task(server.start()) for server in self.all]
        try:
            await asyncio.gather(*starts)
            ports.store_ports(self.folder / "ports.json", self.postgres.ports)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                # gather has cancelled them already; a second time would interrupt their cleanup.
                for start in starts:
                    start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            if isinstance(error, OSError):
                raise folder_error(self.folder, error) from error
            raise

    def _set_ports(self, chosen: ports.Ports) -> None:
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
        """Returns the settings that connect the service to these servers."""
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
