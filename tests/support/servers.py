"""The real Postgres, NATS and S3 servers for tests, started once a session in one folder.

A conftest takes the fixture with `pytest_plugins = ["tests.support.servers"]`.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.embedded.servers import EmbeddedServers


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Not pytest's own temporary folder: root's is closed to the user that Postgres runs as."""
    folder = Path(tempfile.mkdtemp(prefix="aftertone-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(servers_folder: Path) -> AsyncIterator[EmbeddedServers]:
    """A test that kills or freezes one of them must bring it back."""
    async with EmbeddedServers(servers_folder) as running:
        yield running
