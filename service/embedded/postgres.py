"""The embedded Postgres: one cluster, the roles that own and use the database, psql."""

import asyncio
import os
import re
import shutil
import signal
import struct
from pathlib import Path

from service.embedded import reaper
from service.embedded.binaries import Programs, Unprivileged, unprivileged
from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError
from service.embedded.keys import Secrets, write_private
from service.embedded.ports import LOOPBACK, Ports
from service.embedded.server import Server, ask, server_environment

# Modest, but durable: fsync stays on, since what was acknowledged must survive a kill.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    # Details of a violated constraint are numbers and names of people.
    "log_error_verbosity": "terse",
}

# Each statement may run again: the first start can be killed anywhere.
_ROLES = """\
SET client_min_messages = error;
-- The passwords are long and random: many hashing rounds would only slow down each connect.
SET scram_iterations = 64;
SELECT 'CREATE ROLE aftertone' WHERE to_regrole('aftertone') IS NULL \\gexec
SELECT 'CREATE ROLE aftertone_owner' WHERE to_regrole('aftertone_owner') IS NULL \\gexec
ALTER ROLE aftertone LOGIN PASSWORD '{aftertone}';
ALTER ROLE aftertone_owner LOGIN CREATEDB PASSWORD '{aftertone_owner}';
SELECT 'CREATE DATABASE aftertone OWNER aftertone_owner'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'aftertone') \\gexec
"""

# What Postgres says while the processes of its last life are still about.
_PREDECESSOR = re.compile(r"pre-existing shared memory block|lock file .* already exists")


# Asks whether it speaks TLS, to which every Postgres answers with one letter, `N` without.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class EmbeddedPostgres(Server):
    """Roles: `postgres` (superuser), `aftertone_owner` (owns the database), `aftertone`."""

    def __init__(
        self, data: Path, log: Path, programs: Programs, ports: Ports, secrets: Secrets
    ) -> None:
        super().__init__("Postgres", data, log)
        self._programs = programs
        self._secrets = secrets
        self.ports = ports
        self._cluster = data / "cluster"

    def url(self, database: str = "aftertone", role: str = "aftertone_owner") -> str:
        password = getattr(self._secrets, role)
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.ports.postgres}/{database}"

    def listens_on(self) -> tuple[int, ...]:
        return (self.ports.postgres,)

    async def start(self, timeout_s: float = 60) -> None:
        for attempt in range(50):
            try:
                await super().start(timeout_s)
                break
            except EmbeddedError:
                if attempt == 49 or not _PREDECESSOR.search(self.said()):
                    raise
                await asyncio.sleep(0.2)
        if not (self.data / "roles").exists():
            await self._make_roles()

    async def command(self, held: int) -> Command:
        way = await asyncio.to_thread(unprivileged, self.data, self._programs.postgres("postgres"))
        if not self._cluster.exists():
            await self._initdb(way, held)
        self._forget_dead_postmaster()
        settings = {**_SETTINGS, "port": str(self.ports.postgres)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._run(way, held, "postgres", "-D", str(self._cluster), *options)

    def _run(self, way: Unprivileged, held: int, program: str, *arguments: str) -> Command:
        return Command(
            argv=[*way.prefix, str(self._programs.postgres(program)), *arguments],
            environment=server_environment(self.data),
            folder=self.data,
            user=way.user,
            # Fast shutdown: open sessions are cut, data is written.
            stop_signal=signal.SIGINT,
            log=self.log,
            held=held,
        )

    async def _initdb(self, way: Unprivileged, held: int) -> None:
        """Makes the cluster under another name first: a killed initdb leaves no half a cluster."""
        draft, password = self.data / "cluster.new", self.data / "password"
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        write_private(password, self._secrets.postgres.encode())
        if way.user:
            os.chown(password, *way.user)
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        login = ("--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256")
        run = self._run(way, held, "initdb", "-D", str(draft), "--no-instructions", *locale, *login)
        initdb = Child(self.name, run)
        try:
            await initdb.start()
            code = await initdb.wait()
        finally:
            await initdb.stop()
            password.unlink(missing_ok=True)
        if code:
            raise self.why_it_ended(code)
        draft.rename(self._cluster)

    def _forget_dead_postmaster(self) -> None:
        """Removes a `postmaster.pid` whose number now belongs to nobody or to somebody else.

        Postgres itself takes an unreaped zombie and, in a container, any process that was given
        the old number, for its living predecessor.
        """
        file = self._cluster / "postmaster.pid"
        first = file.read_text().split()[:1] if file.exists() else []
        if first and str(self._cluster) not in reaper.command_of(int(first[0])):
            file.unlink()

    async def answers(self) -> bool:
        """The pid file says `ready`, as pg_ctl waits for, and the postmaster talks to a client."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ready = len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
        return ready and await ask(self.ports.postgres, _SSL_REQUEST) == b"N"

    async def _make_roles(self) -> None:
        text = _ROLES.format(
            aftertone=self._secrets.aftertone, aftertone_owner=self._secrets.aftertone_owner
        )
        await self.psql(text, database="postgres")
        (self.data / "roles").touch()

    async def psql(self, text: str, database: str = "aftertone", role: str = "postgres") -> str:
        """Runs SQL; the answer is bare rows, columns divided by `|`."""
        process = await asyncio.create_subprocess_exec(
            str(self._programs.postgres("psql")),
            *("--no-psqlrc", "--quiet", "--no-align", "--tuples-only"),
            *("--set", "ON_ERROR_STOP=1", "--file", "-"),
            *("--host", LOOPBACK, "--port", str(self.ports.postgres)),
            *("--username", role, "--dbname", database),
            # Not in the command line, which every user of the machine can read.
            env={**server_environment(self.data), "PGPASSWORD": getattr(self._secrets, role)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        answer, complaint = await process.communicate(text.encode())
        if process.returncode:
            raise EmbeddedError(f"Postgres refused: {complaint.decode(errors='replace').strip()}")
        return answer.decode().strip()
