"""Real Postgres, NATS and S3 servers, started once per session in one folder.

A conftest takes the fixture with `pytest_plugins = ["tests.support.servers"]`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.embedded.servers import EmbeddedServers
from tests.support.log_scan import folder_with_logs


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    with folder_with_logs("aftertone-tests-") as folder:
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(servers_folder: Path) -> AsyncIterator[EmbeddedServers]:
    """Servers of the session. A test that kills or freezes one must restore it."""
    async with EmbeddedServers(servers_folder) as running:
        await write_without_waiting(running)
        yield running


async def write_without_waiting(servers: EmbeddedServers) -> None:
    """Turns fsync off: only processes fail here, and the kernel keeps what they wrote.

    Otherwise each commit waits for a disk, and each restart of a killed Postgres syncs all files.
    """
    for setting in ("fsync", "full_page_writes"):
        await servers.postgres.psql(f"ALTER SYSTEM SET {setting} = off", database="postgres")
    await servers.postgres.psql("SELECT pg_reload_conf()", database="postgres")
