"""Base class of the groups of servers: folder, start of all, and settings of the service."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.embedded.binaries import Programs, installed_programs
from service.embedded.disk import check_space, report_folder_errors
from service.embedded.keys import load_secrets

_BUCKET = "aftertone"
_REGION = "us-east-1"


class ServerGroup(ABC):
    """Servers with their data, keys and logs in one folder. They run within `async with`."""

    def __init__(self, folder: Path, programs: Programs | None) -> None:
        self.folder = folder.absolute()
        self._programs = programs or installed_programs()
        self._programs.check()
        with report_folder_errors(self.folder):
            self._prepare_folder()
            self._secrets = load_secrets(self.folder)

    def _prepare_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Postgres runs as another user, who must be able to enter its data folder.
            self.folder.chmod(0o711)
        check_space(self.folder)

    @abstractmethod
    async def start(self) -> None:
        """Starts the servers concurrently. Returns when all are ready; stops all on an error."""

    @abstractmethod
    async def stop(self) -> None: ...

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

    def _environment(
        self, database_url: Callable[..., str], nats_url: str, s3_endpoint: str
    ) -> dict[str, str]:
        """Returns the settings that connect the service to these servers."""
        return {
            "AFTERTONE_DATABASE_URL": database_url(role="aftertone"),
            "AFTERTONE_OWNER_DATABASE_URL": database_url(role="aftertone_owner"),
            "AFTERTONE_NATS_URL": nats_url,
            "AFTERTONE_S3_ENDPOINT": s3_endpoint,
            "AFTERTONE_S3_BUCKET": _BUCKET,
            "AFTERTONE_S3_REGION": _REGION,
            "AWS_ACCESS_KEY_ID": self._secrets.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": self._secrets.s3_secret_key,
        }


async def run_together(*starts: Coroutine[Any, Any, None]) -> None:
    """Waits for all. After an error of one, cancels the others and waits for their cleanup."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    except BaseException as error:
        if not isinstance(error, asyncio.CancelledError):
            # gather has cancelled them already; a second time would interrupt their cleanup.
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
