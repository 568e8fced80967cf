"""Postgres, NATS and S3 together, for `aftertone dev` and the tests."""

import asyncio
from pathlib import Path

from service.embedded import ports
from service.embedded.binaries import Programs
from service.embedded.disk import folder_error
from service.embedded.errors import EmbeddedError, PortTaken
from service.embedded.nats import EmbeddedNats
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.s3 import EmbeddedS3
from service.embedded.server_group import ServerGroup, run_together

__all__ = ["EmbeddedError", "EmbeddedServers"]


class EmbeddedServers(ServerGroup):
    """Postgres, NATS and S3 with their data, keys and logs in one folder.

    Each can be stopped, killed, suspended and restarted on the same port with the same data.
    The next run uses the same ports if they are free.
    """

    def __init__(self, folder: Path, programs: Programs | None = None) -> None:
        super().__init__(folder, programs)
        folder, programs, secrets = self.folder, self._programs, self._secrets
        chosen = ports.load_ports(folder / "ports.json")
        logs = folder / "logs"
        self.postgres = EmbeddedPostgres(
            folder / "postgres", logs / "postgres.log", programs, chosen, secrets
        )
        self.nats = EmbeddedNats(folder / "nats", logs / "nats.log", programs, chosen)
        self.s3 = EmbeddedS3(folder / "s3", logs / "s3.log", programs, chosen, secrets)
        self.all = (self.postgres, self.nats, self.s3)

    async def start(self) -> None:
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
        try:
            await run_together(*(server.start() for server in self.all))
            ports.store_ports(self.folder / "ports.json", self.postgres.ports)
        except BaseException as error:
            await self.stop()
            if isinstance(error, OSError):
                raise folder_error(self.folder, error) from error
            raise

    def _set_ports(self, chosen: ports.Ports) -> None:
        for server in self.all:
            server.ports = chosen

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.all))

    def environment(self) -> dict[str, str]:
        return self._environment(self.postgres.url, self.nats.url(), self.s3.endpoint())
