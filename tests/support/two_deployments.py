"""Two deployments with the same keys, and the command that moves accounts between them."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec

from service.bus import StreamSettings
from service.embedded import ports
from service.embedded.binaries import installed_programs
from service.embedded.nats import EmbeddedNats
from tests.support.forked import run_command
from tests.support.relay import Received, everything_in
from tests.support.running import AccountClient, RunningService
from tests.support.waiting import DEADLINE_S, wait_until


class MoveProcess:
    """A running `aftertone account move`; its output is read while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode().strip())

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    async def ended(self, within_s: float = DEADLINE_S * 4) -> int:
        """Waits for the end; returns the exit code. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            code = await self._process.wait()
        await self._reading
        return code

    async def reaches(self, step: str) -> bool:
        """Waits until a step is printed. Returns False if the process ended before."""
        await wait_until(lambda: step in self.output or self._reading.done())
        return step in self.output

    async def kill(self) -> None:
        """Sends SIGKILL."""
        self._process.kill()
        await self._process.wait()
        await self._reading


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """Two deployments; commands run in the first one. `deadline_s` is that of their requests."""

    first: RunningService
    second: RunningService
    deadline_s: int = 1

    async def start(self, account_id: str, *options: str) -> MoveProcess:
        """Starts `aftertone account move`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", *self._command(account_id), *options),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return MoveProcess(process)

    async def move(self, account_id: str, *options: str) -> tuple[int, str]:
        """Runs the command; returns its exit code and its output."""
        finished = await run_command(self._environment, *self._command(account_id), *options)
        return finished.code, finished.stdout + finished.stderr

    @property
    def _deadline(self) -> dict[str, str]:
        return {"AFTERTONE_REQUEST_DEADLINE_S": str(self.deadline_s)}

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.first.environment, **self._deadline}

    def _command(self, account_id: str) -> Sequence[str]:
        """Returns the arguments, after it has written the settings of the target."""
        file = self.second.folder / f"target-{uuid4().hex}.env"
        target = {**self.second.environment, **self._deadline}
        lines = (f"{name}={value}" for name, value in target.items())
        file.write_text("\n".join(["# settings of the target", *lines]))
        target_options = ("--to", self.second.url, "--target-settings", str(file))
        return ("account", "move", account_id, *target_options)

    def there(self, account: AccountClient) -> AccountClient:
        """The account in the second deployment."""
        return AccountClient(self.second, account.account_id, account.realm, account.token)

    @asynccontextmanager
    async def moved(self, account: AccountClient) -> AsyncIterator[AccountClient]:
        """The account in the second deployment, until the block ends."""
        there = self.there(account)
        try:
            yield there
        finally:
            await there.http.aclose()


@asynccontextmanager
async def open_deployments(
    service: RunningService, folder: Path, api_deadline_s: int | None = None
) -> AsyncIterator[Deployments]:
    """Starts a second deployment with its own NATS, on the other servers of `service`.

    With `api_deadline_s`, both deployments have an API process with this request deadline.
    """
    await asyncio.to_thread(folder.mkdir)
    shutil.copy(service.environment["AFTERTONE_KEY_RING_FILE"], folder / "keys.json")
    nats = EmbeddedNats(
        folder / "nats", folder / "nats.log", installed_programs(), ports.choose_ports()
    )
    await nats.start()
    deadline = {"AFTERTONE_REQUEST_DEADLINE_S": str(api_deadline_s)} if api_deadline_s else {}
    second = RunningService(service.servers, folder)
    first = service
    try:
        await second.prepare(deadline, elsewhere=await _elsewhere(service, nats))
        await asyncio.gather(second.start("api"), second.start("relay"))
        if api_deadline_s:
            first = await service.another_api(**deadline)
        yield Deployments(first=first, second=second, deadline_s=api_deadline_s or 1)
    finally:
        await asyncio.gather(second.stop(), *([first.stop()] if first is not service else []))
        await nats.stop()


async def _elsewhere(service: RunningService, nats: EmbeddedNats) -> dict[str, str]:
    name = f"cell_{uuid4().hex[:8]}"
    postgres = service.servers.postgres
    await postgres.psql(f"CREATE DATABASE {name} OWNER aftertone_owner")
    return {
        "AFTERTONE_DATABASE_URL": postgres.url(name, "aftertone"),
        "AFTERTONE_OWNER_DATABASE_URL": postgres.url(name, "aftertone_owner"),
        "AFTERTONE_S3_BUCKET": name.replace("_", "-"),
        "AFTERTONE_NATS_URL": nats.url(),
    }


async def psql(service: RunningService, statement: str) -> str:
    """Runs a statement in the database of a deployment."""
    database = service.environment["AFTERTONE_DATABASE_URL"].partition("?")[0].rpartition("/")[2]
    return (await service.servers.postgres.psql(statement, database)).strip()


async def rows_of(service: RunningService, table: str, account: AccountClient) -> int:
    """Number of rows of an account in a table."""
    statement = f"SELECT count(*) FROM {table} WHERE account_id = '{account.account_id}'"  # noqa: S608
    return int(await psql(service, statement))


@asynccontextmanager
async def blocked_at(
    service: RunningService, rows: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Locks rows of a deployment, so that a command stops there.

    `rows` is the end of a SELECT, from FROM on. Yields a function that waits for the command.
    """
    url = service.environment["AFTERTONE_OWNER_DATABASE_URL"]
    holder, watcher = [await asyncpg.connect(url) for _ in range(2)]
    pid = await holder.fetchval("SELECT pg_backend_pid()")

    async def is_blocked() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
        return bool(await watcher.fetchval(waiting, pid))

    try:
        async with holder.transaction():
            assert await holder.fetch(f"SELECT 1 {rows} FOR UPDATE")
            yield lambda: wait_until(is_blocked, every_s=0.1)
    finally:
        await asyncio.gather(holder.close(), watcher.close())


async def events_in(
    service: RunningService, accounts: Sequence[AccountClient]
) -> dict[str, list[Received]]:
    """Returns the events of accounts in the stream of a deployment, once all are published."""
    ids = ",".join(account.account_id for account in accounts)
    unsent = (
        "SELECT count(*) FROM outbox WHERE stream_seq IS NULL "  # noqa: S608
        f"AND account_id = ANY('{{{ids}}}'::uuid[])"
    )

    async def are_published() -> bool:
        return int(await psql(service, unsent)) == 0

    await wait_until(are_published, every_s=0.2)
    events: dict[str, list[Received]] = {account.account_id: [] for account in accounts}
    for received in await everything_in(
        service.environment["AFTERTONE_NATS_URL"], StreamSettings()
    ):
        if (account_id := received.data["account_id"]) in events:
            events[account_id].append(received)
    return events
