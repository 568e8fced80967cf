"""Two embedded Postgres servers: a primary and its streaming standby, which can be promoted."""

import asyncio
import shutil
from pathlib import Path

import msgspec

from service.embedded.binaries import Programs, Unprivileged
from service.embedded.keys import Secrets, write_private
from service.embedded.ports import LOOPBACK
from service.embedded.postgres import PostgresServer
from service.embedded.server import wait_for_state

_SETTINGS = {
    # A server that froze is noticed after this time.
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    # The standby connects again soon after a restart of the primary.
    "wal_retrieve_retry_interval": "200ms",
    # A standby that was away does not need a new copy.
    "wal_keep_size": "128MB",
}

_SET_SYNCHRONOUS = """\
ALTER SYSTEM SET synchronous_standby_names = '{names}';
SELECT pg_reload_conf();
"""

_PROMOTE = """\
-- Copied from the former primary. Without a standby, commits would wait for ever.
ALTER SYSTEM RESET synchronous_standby_names;
SELECT pg_reload_conf();
SELECT pg_promote(true, 30) WHERE pg_is_in_recovery();
"""

_STANDBY_STATE = "SELECT state = 'streaming' AND sync_state = '{state}' FROM pg_stat_replication"
_STREAMING_TIMEOUT_S = 30.0


class PostgresNode(PostgresServer):
    """One server of a pair. It is a standby while its cluster contains `standby.signal`."""

    def __init__(
        self, name: str, data: Path, log: Path, programs: Programs, port: int, secrets: Secrets
    ) -> None:
        super().__init__(f"Postgres {name}", data, log, programs, secrets)
        self.primary: PostgresNode | None = None
        """The server that a standby follows. None: this server is the primary."""
        self.settings = dict(_SETTINGS)
        """Server settings beyond those of a single Postgres. Changes apply at the next start."""
        self._port = port
        self._pass_file = data / "pgpass"

    @property
    def port(self) -> int:
        return self._port

    @property
    def _signal(self) -> Path:
        return self._cluster / "standby.signal"

    async def start(self, timeout_s: float = 60) -> None:
        if self.primary is not None and not self.alive and not self._signal.exists():
            # A new server, or a former primary: its data may differ from that of the primary.
            await asyncio.to_thread(shutil.rmtree, self._cluster, ignore_errors=True)
        await super().start(timeout_s)

    async def _write_cluster(self, draft: Path, launch: Unprivileged, lock: int) -> None:
        if self.primary is None:
            return await super()._write_cluster(draft, launch, lock)
        login = f"{LOOPBACK}:*:*:postgres:{self._secrets.postgres}\n"
        self._write_owned(self._pass_file.name, login, launch)
        server = ("--host", LOOPBACK, "--port", str(self.primary.port), "--username", "postgres")
        # Not synced, which takes seconds: after a power failure the primary has all data.
        how = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
        run = self._run(launch, lock, "pg_basebackup", "-D", str(draft), *how, *server)
        environment = {**run.environment, "PGPASSFILE": str(self._pass_file)}
        await self._complete(msgspec.structs.replace(run, environment=environment))
        return None

    async def _create_roles(self) -> None:
        if self.primary is None:
            await super()._create_roles()

    def _more_settings(self) -> dict[str, str]:
        if self.primary is None:
            return self.settings
        # Not the stored connection: the primary and its port can change between two runs.
        connection = (
            f"host={LOOPBACK} port={self.primary.port} user=postgres passfile={self._pass_file}"
        )
        return {**self.settings, "primary_conninfo": connection}

    async def promote(self) -> None:
        """Makes this standby the primary. Returns when it accepts writes."""
        self.primary = None
        (self.data / "roles").touch()
        await self.psql(_PROMOTE, database="postgres")

    async def set_synchronous(self, *, synchronous: bool) -> None:
        """Makes commits of this primary wait for its standby, or not."""
        names = "*" if synchronous else ""
        await self.psql(_SET_SYNCHRONOUS.format(names=names), database="postgres")


class PostgresPair:
    """A primary and a standby. With `synchronous`, a commit waits for the standby.

    A promotion leaves one server, whose commits wait for none. `rebuild_standby` replaces the data
    of the former primary and makes the pair complete again.
    """

    def __init__(
        self, folder: Path, nodes: tuple[PostgresNode, PostgresNode], *, synchronous: bool
    ) -> None:
        self.nodes = nodes
        self._synchronous = synchronous
        self._file = folder / "primary"
        primary, standby = nodes if self._stored_primary() != nodes[1].name else nodes[::-1]
        standby.primary = primary

    def _stored_primary(self) -> str:
        return self._file.read_text() if self._file.exists() else self.nodes[0].name

    @property
    def primary(self) -> PostgresNode:
        return next(node for node in self.nodes if node.primary is None)

    @property
    def standby(self) -> PostgresNode:
        return next(node for node in self.nodes if node is not self.primary)

    def url(
        self, database: str = "aftertone", role: str = "aftertone_owner", target: str = "read-write"
    ) -> str:
        """Returns a URL of both servers. A client chooses the one that has the attribute."""
        first, second = self.nodes
        servers = f"{first.url('', role).removesuffix('/')},{LOOPBACK}:{second.port}"
        return f"{servers}/{database}?target_session_attrs={target}"

    async def start(self) -> None:
        """Starts the primary, then the standby. Returns when the standby receives all changes."""
        await self.primary.start()
        # The last run may have ended within a promotion.
        await self.primary.psql(_PROMOTE, database="postgres")
        await self._start_standby()

    async def _start_standby(self) -> None:
        await self.standby.start()
        if self._synchronous:
            await self.primary.set_synchronous(synchronous=True)
        await self.wait_for_standby()

    async def wait_for_standby(self) -> None:
        """Waits until the standby streams from the primary, synchronously if it has to."""
        query = _STANDBY_STATE.format(state="sync" if self._synchronous else "async")

        async def streams() -> bool:
            return await self.psql(query, database="postgres") == "t"

        failure = f"{self.standby.name} does not follow the primary: see {self.standby.log}."
        await wait_for_state(streams, _STREAMING_TIMEOUT_S, failure)

    async def promote(self) -> None:
        """Makes the standby the primary. The former primary must be dead or frozen.

        A frozen server must be killed before it resumes: it would still accept statements.
        """
        former, standby = self.primary, self.standby
        write_private(self._file, standby.name.encode())
        await standby.promote()
        former.primary = standby

    async def rebuild_standby(self) -> None:
        """Kills the former primary if it is frozen, and makes it a standby with a new copy."""
        await self.standby.kill()
        await self._start_standby()

    async def stop(self) -> None:
        """Stops the primary first: its last commits may wait for the standby."""
        await self.primary.stop()
        await self.standby.stop()

    async def kill(self) -> None:
        await asyncio.gather(*(node.kill() for node in self.nodes))

    async def psql(self, text: str, database: str = "aftertone", role: str = "postgres") -> str:
        """Runs SQL on the primary."""
        return await self.primary.psql(text, database, role)
