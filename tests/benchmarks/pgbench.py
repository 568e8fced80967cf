"""The ceiling of Postgres: the service's own statements, sent by pgbench as the service's role.

They work in a database of their own, so that nobody publishes or counts what they write.
"""

import asyncio
import os
import resource
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from service.domain.message import month_of
from service.embedded.binaries import installed_programs
from service.embedded.servers import EmbeddedServers
from service.postgres.migrate import migrate
from service.postgres.pool import session_settings
from tests.benchmarks.cpu import Seconds, cpu_of, spent
from tests.benchmarks.statements import ACCOUNT, BOXES, MESSAGES_PER_CLIENT, Script

DATABASE = "pgbench"

# Identifiers are digests of numbers: random to the index, and known to whoever has the number.
_PREPARE = """\
INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox)
SELECT '{account}', md5('box' || n)::uuid, n::text FROM generate_series(0, {boxes} - 1) AS n;
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256)
SELECT '{account}', {month}, md5('message' || n)::uuid, md5('box' || n % {boxes})::uuid,
    'new', true, now(), 4200, '1001', 'Ann', md5(n::text), '1001@example.com', '2000@example.com',
    md5(n::text), 'audio/mpeg', 65536, sha256(n::text::bytea)
FROM generate_series(0, {messages} - 1) AS n;
UPDATE vmbox_counts SET new_count = (
    SELECT count(*) FROM messages AS m
    WHERE m.account_id = vmbox_counts.account_id AND m.vmbox_id = vmbox_counts.vmbox_id);
ANALYZE;
"""


class PgbenchFailed(Exception):
    """pgbench failed, or its statements did not write the expected rows."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a run of pgbench; latencies in ascending order. `load` in `cpu_ms` is pgbench."""

    seconds: float
    latencies_ms: list[float]
    cpu_ms: Seconds | None


class Pgbench:
    """Runs scripts against a migrated database on the stack's own server."""

    def __init__(self, servers: EmbeddedServers, folder: Path) -> None:
        self._servers = servers
        self._folder = folder

    async def prepare(self, most_clients: int) -> None:
        """The database, its boxes, and messages for the clients to file."""
        postgres = self._servers.postgres
        await postgres.psql(f"CREATE DATABASE {DATABASE}", "postgres", "aftertone_owner")
        await migrate(
            postgres.url(DATABASE, "aftertone_owner"),
            service_url=postgres.url(DATABASE, "aftertone"),
        )
        text = _PREPARE.format(
            account=ACCOUNT,
            boxes=BOXES,
            messages=most_clients * MESSAGES_PER_CLIENT,
            month=month_of(datetime.now(UTC)),
        )
        await postgres.psql(text, DATABASE, "aftertone_owner")

    async def run(
        self, script: Script, clients: int, seconds: float, trees: Mapping[str, int]
    ) -> Ran:
        """Runs a script. Raises PgbenchFailed unless each transaction wrote its row."""
        rows = await self._rows(script)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            before, began = cpu_of(trees), _children_s()
            await self._pgbench(script, clients, seconds, Path(folder))
            after, own_s = cpu_of(trees), _children_s() - began
            latencies, span_s = _logged(Path(folder))
        written = await self._rows(script) - rows
        # A client that stopped half-way the last time finds its message where it would put it.
        if not len(latencies) - clients <= written <= len(latencies) + clients:
            raise PgbenchFailed(f"{len(latencies)} transactions wrote {written} rows")
        cpu_ms = spent(before, after, len(latencies))
        if cpu_ms is not None:
            cpu_ms["load"] = own_s * 1000 / len(latencies)
        return Ran(seconds=span_s, latencies_ms=latencies, cpu_ms=cpu_ms)

    async def _rows(self, script: Script) -> int:
        text = f"SELECT count(*) FROM {script.table}"  # noqa: S608 - one of two names above
        return int(await self._servers.postgres.psql(text, DATABASE, "aftertone_owner"))

    async def _pgbench(self, script: Script, clients: int, seconds: float, folder: Path) -> None:
        (folder / "script.sql").write_text(script.text)
        defined = [part for pair in script.variables.items() for part in ("-D", "=".join(pair))]
        process = await asyncio.create_subprocess_exec(
            str(installed_programs().postgres("pgbench")),
            *("--no-vacuum", "--protocol", "prepared", "--log", "--file", "script.sql"),
            *("--client", str(clients), "--jobs", str(min(clients, 2))),
            # Whole seconds only.
            *("--time", str(max(1, round(seconds)))),
            *defined,
            env=self._environment(),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us alone
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode or b"number of failed transactions: 0 " not in said:
            raise PgbenchFailed(said.decode(errors="replace"))

    def _environment(self) -> dict[str, str]:
        settings = session_settings("pgbench", 30, generic_plans=True)
        url = urlsplit(self._servers.postgres.url(DATABASE, "aftertone"))
        return {
            "PATH": os.environ.get("PATH", ""),
            "PGHOST": url.hostname or "",
            "PGPORT": str(url.port),
            "PGUSER": url.username or "",
            "PGPASSWORD": url.password or "",
            "PGDATABASE": DATABASE,
            "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        }


def _children_s() -> float:
    """CPU seconds of the children of this process that have ended: pgbench, while it is alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _logged(folder: Path) -> tuple[list[float], float]:
    """Latencies in ms, ascending, and the span from the first begin to the last end.

    A line: client, transaction, latency in microseconds, script, end in seconds and microseconds.
    """
    lines = [
        line.split()
        for file in folder.glob("pgbench_log.*")
        for line in file.open("rb").readlines()
    ]
    if not lines:
        raise PgbenchFailed("pgbench logged nothing")
    ends = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
    latencies = [int(line[2]) / 1000 for line in lines]
    first = min(end - latency / 1000 for end, latency in zip(ends, latencies, strict=True))
    return sorted(latencies), max(ends) - first
